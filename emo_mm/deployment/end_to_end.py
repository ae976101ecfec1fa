"""End-to-end models: pixels in; boxes, a mask or probabilities out.

They compute what ``predict`` of mmpretrain, mmdet and mmseg computes for one
image. Height and width stay computed values wherever the graph needs them,
so that what tracing records of it can take other sizes, and no tensor has
more than 4 dimensions. See :mod:`.formats` for how each format is written.
"""
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import nms

Size = tuple[int, int]


class EndToEndModel(nn.Module):
    """Normalisation, a network, and what makes results of its outputs.

    Args:
        model (nn.Module): The network.
        mean (sequence): Of the channels, in the network's order and from 0
            to 255. Defaults to zeros.
        std (sequence): As ``mean``. Defaults to ones.
        bgr (bool): Whether the network takes BGR. Defaults to False.
        pad_divisor (int): Height and width are padded to a multiple of it.
            Defaults to 1.
        pad_value (float): What is padded with. Defaults to 0.

    Attributes:
        task (str): As the metadata name it.
        output_names (tuple[str]): Names of the results.
        raw_names (tuple[str]): Names of the network's own outputs.
        with_raw (bool): Whether :meth:`forward` returns these as well.
        precision (torch.dtype): In which the network computes. What comes
            before and after it stays in float32.
        channels_first (bool): Whether the image is (1, 3, H, W), not
            (H, W, 3).
    """
    task: str
    output_names: tuple[str, ...]
    raw_names: tuple[str, ...]

    def __init__(self,
                 model: nn.Module,
                 mean: Sequence[float] = (0., 0., 0.),
                 std: Sequence[float] = (1., 1., 1.),
                 bgr: bool = False,
                 pad_divisor: int = 1,
                 pad_value: float = 0.):
        super().__init__()
        self.model = model.eval()
        self.with_raw = False
        self.channels_first = False
        self.precision = torch.float32
        self.bgr = bgr
        for name, values in (('mean', mean), ('std', std)):
            values = torch.tensor(list(values), dtype=torch.float32)
            self.register_buffer(name, values.reshape(-1, 1, 1))
        self.pad_divisor = pad_divisor
        self.pad_value = pad_value

    def to_precision(self, precision: torch.dtype) -> 'EndToEndModel':
        """Let the network compute in ``precision``."""
        self.precision = precision
        self.model.to(precision)
        return self

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map an image to ``output_names``, and ``raw_names`` if asked for.

        Args:
            image (Tensor): RGB, 0 to 255, of any type, of shape (H, W, 3), or
                (1, 3, H, W) if ``channels_first``.
        """
        if not self.channels_first:
            # The permuted image would be channels last, see _rows.
            image = image.permute(2, 0, 1)[None].contiguous()
        size = image.shape[2:]
        raw = self.network(self.prepare(image).to(self.precision))
        raw = [out.float() for out in raw]
        results = self.results(raw, size)
        return (*results, *self.raw_results(raw)) if self.with_raw else results

    def prepare(self, image: Tensor) -> Tensor:
        """Normalise and pad an RGB image (1, 3, H, W) for the network."""
        image = image.float()
        if self.bgr:
            image = image.flip(1)
        image = (image - self.mean) / self.std
        if self.pad_divisor > 1:
            H, W = image.shape[2:]
            padded_H, padded_W = self.padded(image.shape[2:])
            image = F.pad(
                image, (0, padded_W - W, 0, padded_H - H),
                value=self.pad_value)
        return image

    def padded(self, size: Size) -> Size:
        """Return the height and width that the network sees."""
        d, (H, W) = self.pad_divisor, size
        return (H + d - 1) // d * d, (W + d - 1) // d * d

    def network(self, x: Tensor) -> list[Tensor]:
        """Return the network's outputs, before any decoding."""
        raise NotImplementedError

    def results(self, raw: list[Tensor], size: Size) -> tuple[Tensor, ...]:
        """Make ``output_names`` of the network's outputs.

        Args:
            raw (list[Tensor]): What :meth:`network` returns, as float32.
            size (tuple[int, int]): Height and width of the image.
        """
        raise NotImplementedError

    def raw_results(self, raw: list[Tensor]) -> tuple[Tensor, ...]:
        """Return the network's outputs as the tensors of ``raw_names``."""
        return tuple(raw)


class EndToEndNetwork(EndToEndModel):
    """``probabilities (classes)`` of a network that maps images to logits.

    Any classifier will do, such as timm's.
    """
    task = 'classification'
    output_names = ('probabilities', )
    raw_names = ('logits', )

    def network(self, x: Tensor) -> list[Tensor]:
        return [self.model(x)]

    def results(self, raw: list[Tensor], size: Size) -> tuple[Tensor, ...]:
        return (raw[0].softmax(1)[0], )


def read_preprocessor(preprocessor: nn.Module) -> dict:
    """Return what a data preprocessor of any of the libraries does.

    Returns:
        dict: Arguments of :class:`EndToEndModel`.

    Raises:
        ValueError: If it pads to a fixed size.
    """
    # mmseg names the padding of tests in another way.
    test_cfg = getattr(preprocessor, 'test_cfg', None) or {}
    if test_cfg.get('size'):
        raise ValueError(
            f'model.data_preprocessor.test_cfg.size={test_cfg["size"]}: '
            'padding to a fixed size is not exported. Leave it out: '
            '--cfg-options model.data_preprocessor.test_cfg=None')
    settings = dict(
        bgr=not _takes_rgb(preprocessor),
        pad_divisor=(test_cfg.get('size_divisor')
                     or getattr(preprocessor, 'pad_size_divisor', None) or 1),
        pad_value=getattr(preprocessor, 'pad_value',
                          getattr(preprocessor, 'pad_val', 0)))
    for name in ('mean', 'std'):
        values = getattr(preprocessor, name, None)
        if values is not None:
            settings[name] = values.flatten().tolist()
    return settings


def _takes_rgb(preprocessor: nn.Module) -> bool:
    """Tell whether the network sees RGB. mmcv reads images as BGR."""
    for name in ('to_rgb', 'channel_conversion', '_channel_conversion'):
        if hasattr(preprocessor, name):
            return bool(getattr(preprocessor, name))
    return False


class EndToEndClassifier(EndToEndNetwork):
    """``probabilities (classes)`` of a classifier of mmpretrain."""

    def __init__(self, model: nn.Module):
        super().__init__(model, **read_preprocessor(model.data_preprocessor))

    def network(self, x: Tensor) -> list[Tensor]:
        return [self.model.head(self.model.extract_feat(x))]


class EndToEndSegmenter(EndToEndModel):
    """``mask (H, W)`` of class ids, of a segmenter of mmseg."""
    task = 'segmentation'
    output_names = ('mask', )
    raw_names = ('logits', )

    def __init__(self, model: nn.Module):
        super().__init__(model, **read_preprocessor(model.data_preprocessor))

    def network(self, x: Tensor) -> list[Tensor]:
        return [self.model.decode_head(self.model.extract_feat(x))]

    def results(self, raw: list[Tensor], size: Size) -> tuple[Tensor, ...]:
        H, W = size
        logits = F.interpolate(
            raw[0],
            size=self.padded(size),
            mode='bilinear',
            align_corners=self.model.align_corners)
        return (logits[0, :, :H, :W].argmax(0).int(), )


class EndToEndDetector(EndToEndModel):
    """``boxes (N, 4)``, ``scores (N)``, ``labels (N)`` of a detector of mmdet.

    Boxes are (x1, y1, x2, y2) in pixels of the image, by falling score.

    Attributes:
        with_nms (bool): Whether the results are chosen inside the model.
            Else ``boxes (P, 4)`` and ``scores (P, classes)`` of all P priors
            come out, for the runner to choose from.
    """
    task = 'detection'
    output_names = ('boxes', 'scores', 'labels')
    raw_names = ('logits', 'deltas')

    def __init__(self, model: nn.Module):
        super().__init__(model, **read_preprocessor(model.data_preprocessor))
        self.head = model.bbox_head
        self.settings = model.bbox_head.test_cfg
        # mmcv's threshold is a float32.
        self.iou_threshold = float(np.float32(self.settings.nms.iou_threshold))
        self.with_nms = True
        self.fixed_priors: list[Tensor] | None = None

    def fix_size(self, size: Size) -> None:
        """Keep the priors of one input size as constants."""
        self.fixed_priors = self._priors_at(size)

    def _priors_at(self, size: Size) -> list[Tensor]:
        x = torch.zeros(1, 3, *size)
        with torch.no_grad():
            raw = self.network(self.prepare(x).to(self.precision))
        return [
            self.priors(i, *logits.shape[2:])
            for i, logits in enumerate(raw[:len(raw) // 2])
        ]

    def network(self, x: Tensor) -> list[Tensor]:
        """Return class logits, then box deltas, of all levels."""
        logits, deltas = self.head(self.model.extract_feat(x))
        return [*logits, *deltas]

    def raw_results(self, raw: list[Tensor]) -> tuple[Tensor, ...]:
        logits, deltas = zip(*self._levels(raw))
        return torch.cat(logits), torch.cat(deltas)

    def results(self, raw: list[Tensor], size: Size) -> tuple[Tensor, ...]:
        priors = self.fixed_priors or [
            self.priors(i, *logits.shape[2:])
            for i, logits in enumerate(raw[:len(raw) // 2])
        ]
        if self.with_nms:
            levels = self._levels(raw)
            boxes, scores, labels = self._candidates(levels, priors, size)
            return self._choose(boxes, scores, labels, size)
        logits, deltas = self.raw_results(raw)
        boxes = self.decode(torch.cat(priors), deltas, size)
        return boxes, self._activate(logits)

    def candidates(self, logits: Tensor, deltas: Tensor,
                   size: Size) -> tuple[Tensor, Tensor, Tensor]:
        """Return the boxes, scores and labels that NMS chooses from.

        Args:
            logits (Tensor): As ``raw_names`` has them.
            deltas (Tensor): As ``logits``.
            size (tuple[int, int]): Height and width of the image.
        """
        priors = self._priors_at(size)
        counts = [len(level) for level in priors]
        levels = list(zip(logits.split(counts), deltas.split(counts)))
        return self._candidates(levels, priors, size)

    def _levels(self, raw: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return logits (P, C) and deltas (P, 4) of each level's P priors."""
        count = len(raw) // 2
        channels = self.head.cls_out_channels
        return [(_rows(logits[0], channels), _rows(deltas[0], 4))
                for logits, deltas in zip(raw[:count], raw[count:])]

    def _activate(self, logits: Tensor) -> Tensor:
        """Return scores of the classes, without softmax's last, background."""
        if self.head.use_sigmoid_cls:
            return logits.sigmoid()
        return logits.softmax(-1)[:, :-1]

    def priors(self, level: int, height: int, width: int) -> Tensor:
        """Return the anchors of a level's map, (height * width * anchors, 4).

        mmdet's own function asks for the size as plain numbers.
        """
        generator = self.head.prior_generator
        base = generator.base_anchors[level].to(self.mean)
        stride_w, stride_h = generator.strides[level]
        x = torch.arange(width, device=base.device).float() * stride_w
        y = torch.arange(height, device=base.device).float() * stride_h
        x = x[None, :].expand(height, width)
        y = y[:, None].expand(height, width)
        shifts = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
        return (shifts + base).reshape(-1, 4)

    def decode(self, priors: Tensor, deltas: Tensor, size: Size) -> Tensor:
        """Decode deltas of priors to boxes, clipped to the image.

        DeltaXYWHBBoxCoder's equations (arXiv:1311.2524, appendix C).
        """
        coder = self.head.bbox_coder
        deltas = deltas * deltas.new_tensor(coder.stds)
        deltas = deltas + deltas.new_tensor(coder.means)
        center = (priors[:, :2] + priors[:, 2:]) * 0.5
        extent = priors[:, 2:] - priors[:, :2]
        center = center + extent * deltas[:, :2]
        # mmdet's wh_ratio_clip: |ln(16 / 1000)|.
        half = extent * deltas[:, 2:].clamp(-4.135166556742356,
                                            4.135166556742356).exp() * 0.5
        low, high = center - half, center + half
        if not coder.clip_border:
            return torch.cat([low, high], 1)
        low, high = low.clamp(min=0), high.clamp(min=0)
        H, W = size
        x1, x2 = low[:, :1].clamp(max=W), high[:, :1].clamp(max=W)
        y1, y2 = low[:, 1:].clamp(max=H), high[:, 1:].clamp(max=H)
        return torch.cat([x1, y1, x2, y2], 1)

    def _candidates(self, levels: list[tuple[Tensor,
                                             Tensor]], priors: list[Tensor],
                    size: Size) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes, scores and labels of the best of each level."""
        best = [
            self._best(*level, level_priors)
            for level, level_priors in zip(levels, priors)
        ]
        scores, labels, deltas, chosen = map(torch.cat, zip(*best))
        boxes = self.decode(chosen, deltas, size)
        extent = boxes[:, 2:] - boxes[:, :2]
        valid = scores > self.settings.get('score_thr', 0)
        min_size = self.settings.get('min_bbox_size', -1)
        if min_size >= 0:
            valid = valid & (extent > min_size).all(1)
        valid = valid.nonzero()[:, 0]
        return boxes[valid], scores[valid], labels[valid]

    def _choose(self, boxes: Tensor, scores: Tensor, labels: Tensor,
                size: Size) -> tuple[Tensor, ...]:
        """Return what NMS leaves of the candidates."""
        apart = boxes
        if not self.settings.nms.get('class_agnostic', False):
            # Boxes of different classes are moved apart, so that they do not
            # suppress each other. No corner lies beyond the two sides' sum.
            H, W = size
            apart = boxes + (labels * (H + W + 1))[:, None]
        keep = nms(apart, scores, self.iou_threshold)
        keep = keep[:self.settings.max_per_img]
        return boxes[keep], scores[keep], labels[keep].int()

    def _best(self, logits: Tensor, deltas: Tensor,
              priors: Tensor) -> tuple[Tensor, ...]:
        """Return the ``nms_pre`` best pairs of a prior and a class of a level.

        Returns:
            tuple[Tensor, ...]: Their scores, labels, deltas and priors.
        """
        scores = self._activate(logits)
        count, classes = scores.shape
        # Filled up with what the threshold drops, as small maps have fewer.
        scores = F.pad(
            scores.reshape(-1), (0, self.settings.nms_pre), value=-1.)
        scores, index = scores.topk(self.settings.nms_pre)
        prior = (index // classes).clamp(max=count - 1)
        return scores, index % classes, deltas[prior], priors[prior]


def _rows(x: Tensor, length: int) -> Tensor:
    """Reshape a map (C, H, W) to (H * W * C / length, length).

    The clone is for ExecuTorch, where a map that was channels last while it
    was recorded has no such strides any more.
    """
    x = x.permute(1, 2, 0).clone(memory_format=torch.contiguous_format)
    return x.reshape(-1, length)
