"""Text in pictures: a font for the names of files and classes, and text that fits into a width."""

from PIL import ImageFont

from deeplab_dpc.console import printable

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def caption_font(size: int) -> Font:
    """Returns a system font with more characters than ASCII, or else Pillow's default font; `size` is in pixels."""
    for name in ("DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf"):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def fitting(text: str, font: Font, width: int) -> str:
    """Returns the text in one line; only its end, after "...", if the whole is wider than `width` pixels."""
    text = printable(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength("..." + text) > width:
        text = text[1:]
    return "..." + text
