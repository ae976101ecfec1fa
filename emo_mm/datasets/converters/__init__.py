"""Annotations of other formats as COCO files."""
from .coco_writer import CocoWriter
from .voc_to_coco import voc_to_coco
from .yolo_to_coco import read_classes, yolo_to_coco

__all__ = ['CocoWriter', 'read_classes', 'voc_to_coco', 'yolo_to_coco']
