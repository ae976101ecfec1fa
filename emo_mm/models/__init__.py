"""The network."""
from .emo import EMO, iRMB
from .neck import NormGlobalAveragePooling
from .studies import ablations
from .studies.classic_blocks import FFN, IRB, MHSA
from .studies.meta_mobile_block import MetaMobileBlock
from .timm_features import TimmFeatures

__all__ = [
    'EMO', 'FFN', 'IRB', 'MHSA', 'MetaMobileBlock', 'NormGlobalAveragePooling',
    'TimmFeatures', 'ablations', 'iRMB'
]
