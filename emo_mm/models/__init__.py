"""The network."""
from . import ablations
from .emo import EMO
from .instances import FFN, IRB, MHSA
from .meta_mobile_block import MetaMobileBlock, iRMB
from .necks import NormGlobalAveragePooling
from .timm_features import TimmFeatures

__all__ = [
    'EMO', 'FFN', 'IRB', 'MHSA', 'MetaMobileBlock', 'NormGlobalAveragePooling',
    'TimmFeatures', 'ablations', 'iRMB'
]
