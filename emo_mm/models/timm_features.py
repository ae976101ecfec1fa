"""Networks of timm as backbones, to compare EMO with."""
from collections.abc import Sequence

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm


@MODELS.register_module()
class TimmFeatures(BaseModule):
    """Stages of a network of timm's, under EMO's recipe.

    mmpretrain's ``TIMMBackbone`` lacks what the recipe needs: statistics of
    BatchNorm that stay or are synchronised, and weights that are fetched when
    a training starts and not whenever the model is built.

    Args:
        model_name (str): In timm.
        out_indices (Sequence[int]): Stages to return, as timm numbers them:
            0 to 4 of strides 2 to 32 for most, 0 to 3 of strides 4 to 32 for
            some.
        pretrained (bool): Whether a training starts from timm's weights.
            Defaults to True.
        norm_eval (bool): Whether BatchNorm layers keep their statistics in
            training. Defaults to False.
        sync_bn (bool): Whether BatchNorm is synchronised between processes.
            Defaults to False.
        **kwargs: Of ``timm.create_model``, as ``output_stride=8``.

    Raises:
        ImportError: If timm is not installed.
    """

    _is_init: bool  # BaseModule's

    def __init__(self,
                 model_name: str,
                 out_indices: Sequence[int],
                 pretrained: bool = True,
                 norm_eval: bool = False,
                 sync_bn: bool = False,
                 **kwargs):
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise ImportError(f'model_name={model_name!r} is built by timm: '
                              'pip install timm') from error
        self.model_name = model_name
        self.pretrained = pretrained
        self.norm_eval = norm_eval
        self.settings = dict(
            kwargs, features_only=True, out_indices=tuple(out_indices))
        try:
            self.network = timm.create_model(model_name, **self.settings)
        except (AssertionError, IndexError, RuntimeError,
                TypeError) as error:  # of timm, for any setting
            raise ValueError(
                f'model_name={model_name!r} with out_indices={out_indices} '
                f'and {kwargs} is no network of timm: {error}. timm.'
                'list_models() lists the names.') from error
        if sync_bn:
            # torch's own conversion loses the activations that timm fuses
            # with its norms.
            self.network = timm.layers.convert_sync_batchnorm(self.network)

    def init_weights(self) -> None:
        """Load timm's weights. mmengine calls this when a training starts.

        Raises:
            FileNotFoundError: If they cannot be loaded.
        """
        if not self.pretrained or self._is_init:
            return
        import timm
        try:
            source = timm.create_model(
                self.model_name, pretrained=True, **self.settings)
        except Exception as error:  # of whichever library downloads
            raise FileNotFoundError(
                f'timm cannot load the weights of {self.model_name!r}: '
                f'{error}\nTo train from scratch: --cfg-options '
                'model.backbone.pretrained=False '
                'model.backbone.norm_eval=False') from error
        self.network.load_state_dict(source.state_dict())
        self._is_init = True

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map (B, 3, H, W) to one (B, C, H', W') for each stage returned."""
        return tuple(self.network(x))

    def train(self, mode: bool = True) -> 'TimmFeatures':
        """Set the mode, keeping ``norm_eval`` norms."""
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self
