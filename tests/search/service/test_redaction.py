"""What may be a password is not shown, whatever the rest of a location looks like."""

import numpy as np
import pytest

from deeplab_dpc.search.service.redaction import redacted


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("postgresql://u:SECRET@host:5432/db", "postgresql://u:***@host:5432/db"),
        ("postgresql://u:SE@CRET@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:SE/CRET@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:SE?CRET@host/db", "postgresql://***"),
        ("postgresql://u:SE#CRET@host/db", "postgresql://***"),
        ("postgresql://host/db?password=SECRET", "postgresql://host/db?password=***"),
        ("postgresql://host/db?password=SE@CRET", "postgresql://***"),
        ("postgresql://host/db?sslmode=require;pw=SECRET&SECRET", "postgresql://host/db?sslmode=require&***&***"),
        ("postgresql://u:SECRET", "postgresql://u:***"),
        ("postgresql://u:SECRET/db", "postgresql://u:***"),
        ("postgresql:/u:SECRET@host/db", "postgresql:***"),
        ("u:SECRET@host", "***"),
        ("host=h password=SECRET", "***"),
        ("redis://:SECRET@host/0", "redis://***@host/0"),
        ("postgresql://search@/postgres?host=/run/pg", "postgresql://search@/postgres?host=/run/pg"),
        ("postgresql://u:SECRET@[::1]:5432/db", "postgresql://u:***@[::1]:5432/db"),
        ("journal:a?b=c@d", "journal:a?b=c@d"),
        ("sqlite:///a/study.db", "sqlite:///a/study.db"),
        ("grpc://host:13000", "grpc://host:13000"),
    ],
)
def test_secret_is_left_out(location, shown):
    assert redacted(location).shown == shown
    assert redacted(location).scrubbed("no") == "no"


def test_secret_is_left_out_of_what_a_library_says():
    location = redacted("postgresql://u:a%20b@host/db?key=t/k")
    assert location.scrubbed("bad password 'a b' (a%20b), token t/k or t%2Fk") == (
        "bad password '***' (***), token *** or ***"
    )
    assert redacted("redis://:SECRET@host").scrubbed("SECRET?") == "***?"


def test_password_is_never_shown_in_whatever_place_it_stands():
    """With signs in it that mean something in a URL, before a host or as a parameter, and in URLs with a mistake."""
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        signs = "".join(rng.choice(list("@:/?#&;=% +"), int(rng.integers(0, 4))))
        place = int(rng.integers(len(signs) + 1))
        password = f"QWXZ{signs[:place]}YVKJ{signs[place:]}"
        scheme = str(rng.choice(["postgresql://", "mysql://", "postgresql:/", "postgresql//", "postgresql:", ""]))
        rest = [f"u:{password}@host/db", f"u:{password}@host", f"host/db?x=1&password={password}", f"u:{password}"]
        location = scheme + str(rng.choice(rest))
        if all(sign not in location for sign in ("://", "@", "=")) and location.count(":") < 2:
            continue  # then it is a path as good as any
        if location.endswith(f"//u:{password}") and "@" in password:
            continue  # then it is a well-formed URL whose host is the rest of the password
        shown = redacted(location).shown
        assert "QWXZ" not in shown, location
        assert "YVKJ" not in shown, location
