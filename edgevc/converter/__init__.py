"""Speech in, the same words in another voice out. Converting a file is streaming with a large input."""

from edgevc.converter.listener import Heard as Heard
from edgevc.converter.listener import Listener as Listener
from edgevc.converter.model import VoiceConverter as VoiceConverter
from edgevc.converter.speaker import Speaker as Speaker
from edgevc.converter.stream import ConverterStream as ConverterStream
from edgevc.converter.voice_settings import VoiceSettings as VoiceSettings
