"""Requests as they come, broken ones too, and the responses to them."""

from http import HTTPStatus

import pytest

from clworker.core.web.messages import Refused, Request, Response, parse


def head(first: str, *headers: str) -> bytes:
    return "\r\n".join([first, *headers, "", ""]).encode("latin-1")


HOST = "Host: localhost:9464"


@pytest.mark.parametrize(
    ("raw", "request_"),
    [
        (head("GET / HTTP/1.1", HOST), Request("GET", "/", "localhost", True)),
        (head("GET /a?b=/c HTTP/1.1", "hOST:\t LocalHost "), Request("GET", "/a", "localhost", True)),
        (b"\r\n" + head("HEAD / HTTP/1.1", HOST), Request("HEAD", "/", "localhost", True)),
        (head("GET / HTTP/1.1", HOST, "Connection: Close"), Request("GET", "/", "localhost", False)),
        (head("GET / HTTP/1.0"), Request("GET", "/", "", False)),
        (head("GET / HTTP/1.0", HOST, "Connection: keep-alive"), Request("GET", "/", "localhost", True)),
        (head("GET http://evil.example:80/x HTTP/1.1", HOST), Request("GET", "/x", "evil.example", True)),
        (head("GET / HTTP/1.1", "Host: [::1]:9464"), Request("GET", "/", "[::1]", True)),
        (head("POST / HTTP/1.1", HOST, "Content-Length: 3"), Request("POST", "/", "localhost", False)),
        (head("GET / HTTP/1.1", HOST, "Transfer-Encoding: chunked"), Request("GET", "/", "localhost", False)),
    ],
)
def test_a_request_is_understood(raw: bytes, request_: Request) -> None:
    assert parse(raw) == request_


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (head(""), 400),
        (head("GET /"), 400),
        (head("GET  / HTTP/1.1", HOST), 400),
        (head("GET /\x00 HTTP/1.1", HOST), 400),
        (head("\x16\x03\x01\x02\x00"), 400),
        (head("GET / HTTP/1.1"), 400),
        (head("GET / HTTP/1.1", HOST, HOST), 400),
        (head("GET / HTTP/1.1", HOST, " folded"), 400),
        (head("GET / HTTP/1.1", HOST, "Name : value"), 400),
        (head("GET / HTTP/1.1", HOST, "a: \x00"), 400),
        (head("GET http://[/ HTTP/1.1", HOST), 400),
        (head("PRI * HTTP/2.0"), 505),
    ],
)
def test_a_broken_request_is_refused(raw: bytes, status: int) -> None:
    with pytest.raises(Refused) as refusal:
        parse(raw)
    assert refusal.value.status == status


def test_a_response_forbids_everything_but_to_be_read() -> None:
    response = Response.text("gone", HTTPStatus.NOT_FOUND, Allow="GET")
    whole = response.encoded(keep_alive=True).decode()
    told, _, body = whole.partition("\r\n\r\n")
    assert body == "gone\n"
    assert told.splitlines()[0] == "HTTP/1.1 404 Not Found"
    assert {"Content-Length: 5", "Connection: keep-alive", "Allow: GET", "Cache-Control: no-store"} <= {
        *told.splitlines()
    }
    assert "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'" in told
    assert "X-Content-Type-Options: nosniff" in told
    assert response.encoded(head_only=True, keep_alive=True).decode() == f"{told}\r\n\r\n"
