from xml.etree.ElementTree import Element
from xml.etree.ElementTree import ParseError as ParseError

def fromstring(text: str, forbid_dtd: bool = ...) -> Element: ...
