"""Reading a ``Cookie`` request header (RFC 6265 section 5.4, RFC 6265bis section 4.2).

The header mixes our cookie with those of everybody else on the host, some of them malformed.
So nothing is decoded and nothing is judged but the pairs that carry our name.
"""

# Only these two count as blanks. `str.strip()` also takes off U+00A0 and friends: a browser does
# not see the prefix of "\xa0__Host-id", so a reader that strips such characters would let any
# subdomain set our protected cookie.
BLANKS = " \t"


def read_values(header: str, name: str, *, split_commas: bool) -> list[str]:
    """Return every value of the cookies called exactly `name`, in the order of the header.

    Pairs end at ``;``, also inside double quotes, as in browsers (RFC 6265 section 5.2).
    A comma ends a value too, since it is no cookie-octet: what follows it is another ``Cookie``
    header line that the server joined to this one with a comma instead of ``; ``.

    With `split_commas`, pairs that begin after such a comma are found as well, and come after all
    others: the comma may as well be part of somebody else's value, which would then be able to
    name our cookie. A browser's own pairs are therefore always the first candidates.

    Takes one pass over the header and never raises.
    """
    if name not in header:
        return []
    found: list[str] = []
    after_comma: list[str] = []
    for part in header.split(";"):
        if name not in part:
            continue
        first, *others = part.split(",")
        _collect(first, name, found)
        if split_commas:
            for pair in others:
                _collect(pair, name, after_comma)
    return found + after_comma


def _collect(pair: str, name: str, into: list[str]) -> None:
    key, equals, value = pair.partition("=")
    if equals and key.strip(BLANKS) == name:
        value = value.strip(BLANKS)
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = value[1:-1]
        into.append(value)
