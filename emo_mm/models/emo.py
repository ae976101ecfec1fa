"""EMO, a backbone made of one block."""
import warnings
from collections import OrderedDict
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Callable, Optional, Sequence, Tuple, Union

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from .arch import NUM_STAGES, get_arch
from .deploy import fold_blocks, fold_into_previous, in_groups
from .layers import LayerNorm2d, is_recorded
from .meta_mobile_block import EWMHSA, LocalConv, MetaMobileBlock, iRMB
from .pretrained import load_pretrained, rename_published

_BATCH_NORMS = dict(BN=nn.BatchNorm2d, SyncBN=nn.SyncBatchNorm)
_ACTS = dict(SiLU=nn.SiLU, GELU=nn.GELU)


@MODELS.register_module()
class EMO(nn.Module):
    """EMO backbone.

    "Rethinking Mobile Block for Efficient Attention-based Models", ICCV 2023
    (https://arxiv.org/abs/2301.01146). Stage 0 is the stem; stages 1 to 4
    stack :class:`iRMB`, the first block of each without attention, with
    stride 2 and twice the expansion ratio.

    The class offers what mmengine's ``BaseModule`` does without being one:
    importing that takes a second, which every user of this package would pay.

    Args:
        arch (str | dict): '1m', '2m', '5m', '6m', '10m', '20m', or a dict as
            :func:`emo_mm.models.arch.get_arch` describes. Defaults to '5m'.
        in_channels (int): Channels of the input. Defaults to 3.
        window_size (int): Width of an attention window, in positions of the
            stage's map. Defaults to 7.
        out_indices (int | Sequence[int]): Stages to return, 0 to 4, of
            strides 2, 4, 8, 16, 32, in this order. Stages after the last of
            them are not built. Defaults to 4.
        drop_path_rate (float, optional): Stochastic depth of the last block,
            growing linearly from 0 over the blocks. Defaults to None, the
            published value of the arch.
        attn_drop_rate (float): Dropout on the attention matrix. Defaults
            to 0.
        norm_cfg (dict): Type ('BN' or 'SyncBN') and arguments of the
            BatchNorm layers. Defaults to ``dict(type='BN', eps=1e-6)``.
        frozen_stages (int): Stages 0 to this one are frozen (their
            parameters and BatchNorm statistics). -1 freezes none. Defaults
            to -1.
        norm_eval (bool): Whether BatchNorm layers keep their statistics in
            training. Defaults to False.
        with_cp (bool): Whether activations are recomputed in the backward
            pass, which saves memory and costs time. Defaults to False.
        init_cfg (dict, optional): ``dict(type='Pretrained', checkpoint=X)``,
            where the type may be left out, with X a path or URL of a
            checkpoint, or 'emo://5m' for the published weights of that arch,
            see :mod:`emo_mm.models.pretrained`. Defaults to None.

    Raises:
        ValueError: If an argument cannot be. The message names it.

    Example:
        >>> import torch
        >>> from emo_mm.models import EMO
        >>> model = EMO('1m', out_indices=(1, 2, 3, 4)).eval()
        >>> for out in model(torch.rand(1, 3, 224, 224)):
        ...     print(tuple(out.shape))
        (1, 32, 56, 56)
        (1, 48, 28, 28)
        (1, 80, 14, 14)
        (1, 168, 7, 7)
    """

    block_type = iRMB  # emo_mm.models.ablations puts others here
    channels_last = True
    deployed = False  # see switch_to_deploy

    def __init__(self,
                 arch: Union[str, dict] = '5m',
                 in_channels: int = 3,
                 window_size: int = 7,
                 out_indices: Union[int, Sequence[int]] = (4, ),
                 drop_path_rate: Optional[float] = None,
                 attn_drop_rate: float = 0.,
                 norm_cfg: Optional[dict] = None,
                 frozen_stages: int = -1,
                 norm_eval: bool = False,
                 with_cp: bool = False,
                 init_cfg: Optional[dict] = None):
        super().__init__()
        self.init_cfg = init_cfg
        if isinstance(out_indices, int):
            out_indices = (out_indices, )
        self.arch = get_arch(arch)
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        if drop_path_rate is None:
            drop_path_rate = self.arch['drop_path_rate']
        _check_arguments(in_channels, window_size, self.out_indices,
                         drop_path_rate, attn_drop_rate, frozen_stages)

        norm_layer = _batch_norm_layer(norm_cfg)
        attn_layer = partial(
            EWMHSA, window_size=window_size, attn_drop_rate=attn_drop_rate)
        stem_width = self.arch['stem_width']
        self.feature_widths = (stem_width, *self.arch['widths'])
        self.stages = nn.ModuleList(
            [make_stem(in_channels, stem_width, norm_layer)])
        drop_path_rates = torch.linspace(0, drop_path_rate,
                                         sum(self.arch['depths'])).tolist()
        for stage in range(1, max(self.out_indices) + 1):
            depth = self.arch['depths'][stage - 1]
            rates, drop_path_rates = (drop_path_rates[:depth],
                                      drop_path_rates[depth:])
            self.stages.append(
                self._make_stage(stage, rates, norm_layer, attn_layer))
        self._freeze_stages()

    def _make_stage(self, stage: int, drop_path_rates: Sequence[float],
                    norm_layer: Callable, attn_layer: Callable) -> nn.Module:
        settings = {
            key: values[stage - 1]
            for key, values in self.arch.items()
            if isinstance(values, (list, tuple))
        }
        width = settings['widths']
        block_norm = norm_layer
        if settings['norms'] == 'LN':
            block_norm = partial(LayerNorm2d, eps=1e-6)
        blocks = []
        for i, rate in enumerate(drop_path_rates):
            first = i == 0
            in_channels = self.feature_widths[stage - 1] if first else width
            attn = None
            if settings['attention'] and not first:
                attn = attn_layer(width, settings['head_dims'])
            blocks.append(
                self.block_type(
                    in_channels,
                    width,
                    settings['exp_ratios'] * (2 if first else 1),
                    norm=block_norm(in_channels),
                    norm_layer=norm_layer,
                    act_layer=_ACTS[settings['acts']],
                    kernel_size=settings['kernel_sizes'],
                    stride=2 if first else 1,
                    attn=attn,
                    drop_path_rate=rate))
        return nn.Sequential(*blocks)

    def init_weights(self) -> None:
        """Load ``init_cfg``'s checkpoint, or initialise as it says.

        Without ``init_cfg`` the weights stay as PyTorch initialised them,
        which is how the published network starts. mmengine calls this at the
        start of a training.

        Raises:
            FileNotFoundError: If the checkpoint cannot be had.
            ValueError: If it fills less than the whole backbone, or
                ``init_cfg`` has a field that is none.
        """
        init_cfgs = self.init_cfg or []
        if isinstance(init_cfgs, dict):
            init_cfgs = [init_cfgs]
        pretrained = [
            cfg for cfg in init_cfgs
            if cfg.get('type', 'Pretrained') == 'Pretrained'
        ]
        others = [cfg for cfg in init_cfgs if cfg not in pretrained]
        if others:
            from mmengine.model import initialize  # slow to import
            initialize(self, others)
        if pretrained:
            fields = {k: v for k, v in pretrained[0].items() if k != 'type'}
            load_pretrained(self, **fields)
            return
        if self.norm_eval or self.frozen_stages >= 0:
            warnings.warn(
                f'EMO starts without weights, but norm_eval={self.norm_eval} '
                f'and frozen_stages={self.frozen_stages} keep BatchNorm '
                'statistics or whole stages as they are. Unless load_from or '
                'resume brings weights, set model.backbone.init_cfg to a '
                'checkpoint, or model.backbone.norm_eval=False '
                'model.backbone.frozen_stages=-1.')

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """(B, in_channels, H, W) to one (B, C, H', W') map for each of
        ``out_indices``, without a final norm."""
        # Channels last suits the 1x1 convolutions and LayerNorms: on a CPU a
        # training step takes three quarters of the time.
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        outs = []
        for i, stage in enumerate(self.stages):
            x = self.run_stage(stage, x)
            if i in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def run_stage(self, stage: nn.Sequential, x: Tensor) -> Tensor:
        """One of ``stages``, as the forward pass runs it."""
        if self.with_cp and not self.deployed:
            return self._checkpointed(stage, x)
        if self.deployed and x.device.type == 'cpu' and not is_recorded():
            return in_groups(stage, x)
        return stage(x)

    def _checkpointed(self, stage: nn.Sequential, x: Tensor) -> Tensor:
        # Of the stem's layers, none saves anything by itself.
        blocks = [stage] if stage is self.stages[0] else stage
        for block in blocks:
            if not torch.is_grad_enabled():
                x = block(x)
            elif torch.compiler.is_compiling():
                # A compiled second pass does not touch the statistics.
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = checkpoint(
                    block,
                    x,
                    use_reentrant=False,
                    context_fn=partial(_checkpoint_contexts, block))
        return x

    def switch_to_deploy(self) -> None:
        """Fold the norms that can be, in place, for inference alone.

        The weights are frozen and the mode stays eval from then on. Outputs
        stay the same up to rounding. For a whole classifier, detector or
        segmenter: :func:`emo_mm.models.deploy.switch_to_deploy`.
        """
        if self.deployed:
            return
        self.eval().requires_grad_(False)
        stem = self.stages[0]
        stem.conv = fold_into_previous(stem.conv, stem.bn)
        stem.bn = nn.Identity()
        fold_blocks(self)
        self.deployed = True

    def _freeze_stages(self) -> None:
        for stage in self.stages[:self.frozen_stages + 1]:
            stage.eval()
            for parameter in stage.parameters():
                parameter.requires_grad_(False)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        rename_published(state_dict, prefix)
        if self.deployed and f'{prefix}stages.0.bn.weight' in state_dict:
            raise ValueError('EMO has been switched to deploy: its norms are '
                             'folded into other layers. Load weights first, '
                             'then call switch_to_deploy().')
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def train(self, mode: bool = True) -> 'EMO':
        """Set the mode, keeping frozen stages and ``norm_eval`` norms.

        After :meth:`switch_to_deploy` the mode stays eval.
        """
        mode = mode and not self.deployed
        super().train(mode)
        if mode:
            self._freeze_stages()
            if self.norm_eval:
                for module in self.modules():
                    if isinstance(module, _BatchNorm):
                        module.eval()
        return self


def make_stem(in_channels: int, width: int,
              norm_layer: Callable) -> nn.Sequential:
    """Stage 0: a strided convolution and a block with squeeze-and-excite.

    The block has no norm, no expansion and no skip.
    """
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_channels, width, 3, stride=2, padding=1),
            bn=norm_layer(width),
            block=MetaMobileBlock(
                width,
                width,
                exp_ratio=1,
                operator=lambda channels: LocalConv(
                    channels, 3, norm_layer, use_se=True),
                mlp_e=nn.Identity(),
                skip=False)))


def _batch_norm_layer(norm_cfg: Optional[dict]) -> Callable:
    """Builder of BatchNorm for a number of channels, from its config."""
    settings = dict(type='BN', eps=1e-6, requires_grad=True)
    settings.update(norm_cfg or {})
    kind = settings.pop('type')
    requires_grad = settings.pop('requires_grad')
    if kind not in _BATCH_NORMS:
        raise ValueError(f"norm_cfg['type']={kind!r} must be one of "
                         f'{", ".join(_BATCH_NORMS)}.')

    def build(channels: int) -> nn.Module:
        layer = _BATCH_NORMS[kind](channels, **settings)
        return layer.requires_grad_(requires_grad)

    return build


def _check_arguments(in_channels: int, window_size: int,
                     out_indices: Tuple[int, ...], drop_path_rate: float,
                     attn_drop_rate: float, frozen_stages: int) -> None:
    if not isinstance(in_channels, int) or in_channels < 1:
        raise ValueError(f'in_channels={in_channels!r} must be an int of at '
                         'least 1.')
    if not isinstance(window_size, int) or window_size < 1:
        raise ValueError(f'window_size={window_size!r} must be an int of at '
                         'least 1.')
    stages = range(NUM_STAGES + 1)
    if not out_indices or any(not isinstance(i, int) or i not in stages
                              for i in out_indices):
        raise ValueError(f'out_indices={out_indices} must hold stages from 0 '
                         f'(stride 2) to {NUM_STAGES} (stride 32).')
    for name, rate in (('drop_path_rate', drop_path_rate), ('attn_drop_rate',
                                                            attn_drop_rate)):
        if not isinstance(rate, (int, float)) or not 0 <= rate < 1:
            raise ValueError(f'{name}={rate!r} must be a number in [0, 1).')
    if frozen_stages not in range(-1, NUM_STAGES + 1):
        raise ValueError(f'frozen_stages={frozen_stages} must lie between -1 '
                         f'(none) and {NUM_STAGES} (all).')


def _checkpoint_contexts(block: nn.Module):
    """Contexts of a checkpointed block's first pass and of its second.

    The second pass sees the same batch again, which must not move BatchNorm's
    running statistics twice.
    """
    return nullcontext(), _kept_statistics(block)


@contextmanager
def _kept_statistics(block: nn.Module):
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked.clone())
            for norm in norms]
    for norm in norms:
        norm.momentum = 0.
    try:
        yield
    finally:
        for norm, (momentum, num_batches) in zip(norms, kept):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(num_batches)
