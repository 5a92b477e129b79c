"""The watermark: its public pattern, and whether a sound carries it."""

from edgevc.mark.detector import Detection as Detection
from edgevc.mark.detector import MarkDetector as MarkDetector
from edgevc.mark.detector import Window as Window
from edgevc.mark.detector import detect as detect
