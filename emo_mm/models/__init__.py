"""The network."""
from .emo import EMO
from .meta_mobile_block import MetaMobileBlock, iRMB
from .necks import NormGlobalAveragePooling

__all__ = ['EMO', 'MetaMobileBlock', 'NormGlobalAveragePooling', 'iRMB']
