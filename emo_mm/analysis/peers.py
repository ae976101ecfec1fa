"""Classifiers that the paper compares EMO with, and how to build them.

The numbers are those that the paper prints (ICCV 2023, Tab. 7 and the
scale-up table), on ImageNet-1K at the peer's own resolution; not ours. Where
a peer is printed with its own paper's number, which a released network does
not have, ``note`` says so.
"""
from dataclasses import dataclass
from typing import Optional, Tuple

NO_SOURCE = 'neither mmpretrain nor timm provides it'


@dataclass(frozen=True)
class Peer:
    """A classifier as printed.

    Attributes:
        name (str): In the paper.
        params (float, optional): In millions. None where none is printed.
        flops (float, optional): Multiply-adds in millions, likewise.
        top1 (float, optional): Top-1 accuracy on ImageNet-1K in percent.
        sources (tuple[str]): 'timm:NAME' or 'mmpretrain:NAME' of networks
            that are this one; the first whose library is installed is built.
            Empty where neither library provides it.
        size (int): Height and width of the input in pixels.
        note (str): Why what is built differs from what is printed.
    """
    name: str
    params: Optional[float] = None
    flops: Optional[float] = None
    top1: Optional[float] = None
    sources: Tuple[str, ...] = ()
    size: int = 224
    note: str = ''


PEERS = (
    Peer('MobileNetV2-1.40', 6.9, 585, 74.7, sources=(
        'timm:mobilenetv2_140',),
         note='MobileNetV2-1.40: 6.9 M is its paper\'s number; the released '
         'network has 6.06 M (tf.keras.applications), timm\'s 6.11 M'),
    Peer('MobileNetV3-L-0.50', 2.6, 69, 68.8),
    Peer('MobileNetV3-L-0.75', 4.0, 155, 73.3, sources=(
        'timm:mobilenetv3_large_075',)),
    Peer('MobileNetV3-L-1.25', 7.5, 356, 76.6),
    Peer('MobileViT-XXS', 1.3, 364, 69.0, size=256, sources=(
        'timm:mobilevit_xxs',
        'mmpretrain:mobilevit-xxsmall_3rdparty_in1k')),
    Peer('MobileViT-XS', 2.3, 986, 74.8, size=256, sources=(
        'timm:mobilevit_xs',
        'mmpretrain:mobilevit-xsmall_3rdparty_in1k')),
    Peer('MobileViT-S', 5.6, 2009, 78.4, size=256, sources=(
        'timm:mobilevit_s',
        'mmpretrain:mobilevit-small_3rdparty_in1k')),
    Peer('MobileViTv2-0.5', 1.4, 466, 70.2, size=256, sources=(
        'timm:mobilevitv2_050',)),
    Peer('MobileViTv2-1.0', 4.9, 1851, 78.1, size=256, sources=(
        'timm:mobilevitv2_100',)),
    Peer('EdgeNeXt-XXS', 1.3, 261, 71.2, size=256, sources=(
        'timm:edgenext_xx_small',
        'mmpretrain:edgenext-xxsmall_3rdparty_in1k')),
    Peer('EdgeNeXt-XS', 2.3, 538, 75.0, size=256, sources=(
        'timm:edgenext_x_small',
        'mmpretrain:edgenext-xsmall_3rdparty_in1k')),
    Peer('EdgeNeXt-S', 5.6, 965, 78.8, sources=(
        'timm:edgenext_small',
        'mmpretrain:edgenext-small_3rdparty_in1k')),
    Peer('EfficientNet-B0', 5.3, 399, 77.1, sources=(
        'timm:efficientnet_b0',
        'mmpretrain:efficientnet-b0_3rdparty_8xb32_in1k')),
    Peer('DeiT-Ti', 5.7, 1258, 72.2, sources=(
        'timm:deit_tiny_patch16_224',
        'mmpretrain:deit-tiny_4xb256_in1k')),
    Peer('XCiT-T12', 6.7, 1254, 77.1, sources=(
        'timm:xcit_tiny_12_p16_224',
        'mmpretrain:xcit-tiny-12-p16_3rdparty_in1k')),
    Peer('PoolFormer-S12', 11.9, 1823, 77.2, sources=(
        'timm:poolformer_s12',
        'mmpretrain:poolformer-s12_3rdparty_32xb128_in1k')),
    Peer('PVTv2-B0', 3.7, 572, 70.5, sources=(
        'timm:pvt_v2_b0',)),
    Peer('EdgeViT-XXS', 4.1, 557, 74.4),
    Peer('EdgeViT-XS', 6.7, 1136, 77.5),
    Peer('MPViT-T', 5.8, 1654, 78.2),
    Peer('tiny-MOAT-0', 3.4, 800, 75.5),
    Peer('tiny-MOAT-1', 5.1, 1200, 78.3),
    Peer('LightViT-T', 9.4, 700, 78.7),
    Peer('MoCoViT-1.0', 5.3, 147, 74.5),
    Peer('Mobile-Former-96M', 4.6, 96, 72.8),
    Peer('Mobile-Former-294M', 11.4, 294, 77.9),
    # The scale-up table.
    Peer('PVTv2-B1', 14.0, 2120, 78.7, sources=(
        'timm:pvt_v2_b1',)),
    Peer('PVTv2-B2', 25.3, 4046, 82.0, sources=(
        'timm:pvt_v2_b2',)),
    Peer('XCiT-T24', 12.1, 2354, 79.4, sources=(
        'timm:xcit_tiny_24_p16_224',
        'mmpretrain:xcit-tiny-24-p16_3rdparty_in1k')),
    Peer('ViTAE-13M', 10.8, 3054, 81.0),
    Peer('ViTAE-S', 24.0, 6207, 82.0),
    Peer('PoolFormer-S24', 21.3, 3413, 80.3, sources=(
        'timm:poolformer_s24',
        'mmpretrain:poolformer-s24_3rdparty_32xb128_in1k')),
    Peer('PoolFormer-S36', 30.8, 5003, 81.4, sources=(
        'timm:poolformer_s36',
        'mmpretrain:poolformer-s36_3rdparty_32xb128_in1k')),
    Peer('MPViT-XS', 10.5, 2971, 80.9),
    Peer('MPViT-S', 22.8, 4800, 83.0),
    Peer('ResNet-50', 25.5, 4112, 80.4, sources=(
        'timm:resnet50',
        'mmpretrain:resnet50_8xb32_in1k')),
    Peer('ConvNeXt-T', 28.5, 4466, 82.1, sources=(
        'timm:convnext_tiny',
        'mmpretrain:convnext-tiny_32xb128_in1k')),
    Peer('DeiT-S', 22.0, 4608, 79.8, sources=(
        'timm:deit_small_patch16_224',
        'mmpretrain:deit-small_4xb256_in1k')),
    Peer('Swin-T', 28.2, 4509, 81.3, sources=(
        'timm:swin_tiny_patch4_window7_224',
        'mmpretrain:swin-tiny_16xb64_in1k')),
    # Newer than the paper, which prints no numbers of them.
    Peer('MobileOne-S1', None, None, None, sources=(
        'timm:mobileone_s1',
        'mmpretrain:mobileone-s1_8xb32_in1k')),
    Peer('RepViT-M1.0', None, None, None, sources=(
        'timm:repvit_m1_0',)),
)  # yapf: disable
