"""Text in pictures: a font for names of files and classes, and text that fits a width."""

from PIL import ImageFont

from deeplab_dpc.console import printable

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def caption_font(size: int) -> Font:
    """Returns a font of the system with more characters than ASCII, or Pillow's own; the size is in pixels."""
    for name in ("DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf"):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def fitting(text: str, font: Font, width: int) -> str:
    """Returns the text in one line, or its end if the whole is wider than that many pixels."""
    text = printable(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength("..." + text) > width:
        text = text[1:]
    return "..." + text
