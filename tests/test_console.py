from deeplab_dpc.console import console, print_table, printable


def test_names_are_printed_as_they_are(capsys):
    print_table("[red]classes[/red]", ["class"], [(":car:",), ("[bold]x",), ("$\\frac{$",)])
    console.print(":car: [bold]x")
    said = capsys.readouterr().out
    assert said.count(":car:") == 2
    assert "[red]classes[/red]" in said
    assert "$\\frac{$" in said


def test_text_that_cannot_be_printed_becomes_escapes():
    assert printable("stra\udcdfe") == "stra\\xdfe"
    assert printable("a\nb\u2028c\x00") == "a\\nb\\u2028c\\x00"
    assert printable("straße 東京") == "straße 東京"
