# SPDX-License-Identifier: Apache-2.0
"""The local API: every path of docs/openapi.yaml answered as it says, and what a careless or hostile client does."""
import fcntl
import http.client
import json
import os
import re
import signal
import socket
import stat
import struct
import termios
import threading
import time

import pytest
import yaml
from conftest import COUNTER, TOP, configuration, device, link, uplink
from processes import wait_until

POINTS = COUNTER + ', { name = "setpoint"; holding = 40; access = "write"; min = 30; max = 75; unit = "°C"; }'


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)  # waits where the line before the socket is full
        self.sock.settimeout(self.timeout)


def ask(path, method, url, body=None):
    connection = Connection(path)
    try:
        connection.request(method, url, body)
    except BrokenPipeError:
        pass  # turned away before the request was out; the answer is there all the same
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response, data


def get(daemon, url):
    response, data = ask(daemon.api, "GET", url)
    assert response.status == 200, data
    return json.loads(data)


def run(plant, uplinks=(), points=POINTS, queue="", n_points=2):
    modbus = plant.device()
    daemon = plant.haywain(start=False)
    daemon.api = os.path.join(daemon.dir, "api.sock")
    daemon.configure(configuration(uplinks, [link(modbus.port)], [device(points=points)], queue=queue,
                                   rest=f'api: {{ socket = "{daemon.api}"; }};\n'))
    daemon.start()
    wait_until(lambda: len(get(daemon, "/v1/readings?device=d1")["readings"]) == n_points, what="readings")
    return daemon


# ---- the OpenAPI file ----

with open(os.path.join(TOP, "docs", "openapi.yaml"), encoding="utf-8") as f:
    SPEC = yaml.safe_load(f)


def follow(node):
    while "$ref" in node:
        path = node["$ref"].split("/")[1:]
        node = SPEC
        for key in path:
            node = node[key]
    return node


TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}


def hold(value, schema, where):
    schema = follow(schema)
    if "type" in schema:
        assert isinstance(value, TYPES[schema["type"]]), f"{where} is {value!r}"
    if "enum" in schema:
        assert value in schema["enum"], f"{where} is {value!r}"
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema.get("required", ())) <= set(value), f"{where} lacks {set(schema['required']) - set(value)}"
        assert set(value) <= set(schema["properties"]), f"{where}: {set(value) - set(schema['properties'])} is not in the file"
        for key, member in value.items():
            hold(member, schema["properties"][key], f"{where}.{key}")
    elif isinstance(value, dict) and "additionalProperties" in schema:
        for key, member in value.items():
            hold(member, schema["additionalProperties"], f"{where}.{key}")
    elif isinstance(value, list):
        for i, member in enumerate(value):
            hold(member, schema["items"], f"{where}[{i}]")


def hold_answer(method, path, response, data):
    answers = SPEC["paths"][path][method.lower()]["responses"]
    assert str(response.status) in answers, f"{method} {path}: {response.status} {data!r} is not in the file"
    content = follow(answers[str(response.status)])["content"]
    kind = response.getheader("Content-Type").split(";")[0]
    assert kind in content
    if kind == "application/json":
        hold(json.loads(data), content[kind]["schema"], f"{method} {path}")


CASES = [
    ("GET", "/v1/status", "/v1/status", None, 200),
    ("GET", "/v1/links", "/v1/links", None, 200),
    ("GET", "/v1/devices", "/v1/devices", None, 200),
    ("GET", "/v1/devices/{device}", "/v1/devices/d1", None, 200),
    ("GET", "/v1/devices/{device}", "/v1/devices/nobody", None, 404),
    ("GET", "/v1/queue", "/v1/queue", None, 200),
    ("GET", "/v1/queue/export", "/v1/queue/export", None, 200),
    ("GET", "/v1/readings", "/v1/readings", None, 200),
    ("GET", "/v1/readings/stream", "/v1/readings/stream?device=nobody", None, 404),
    # A filter that cannot be read is not the same as none, and a name that nobody has not the same as no readings.
    ("GET", "/v1/readings", "/v1/readings?device=d1", None, 200),
    ("GET", "/v1/readings", "/v1/readings?device=nobody", None, 404),
    ("GET", "/v1/readings", "/v1/readings?device=%zz", None, 400),
    ("GET", "/v1/readings", "/v1/readings?device=" + 65 * "a", None, 400),
    ("GET", "/v1/readings", "/v1/readings?device=", None, 400),
    ("GET", "/v1/readings", "/v1/readings?device=d1&device=d1", None, 400),
    ("GET", "/v1/readings", "/v1/readings?devise=d1", None, 400),
    ("GET", "/v1/readings/stream", "/v1/readings/stream?device=%zz", None, 400),
    ("GET", "/v1/readings/stream", "/v1/readings/stream?device=" + 65 * "a", None, 400),
    ("GET", "/v1/readings/stream", "/v1/readings/stream?point=polls", None, 400),
    ("GET", "/metrics", "/metrics", None, 200),
    ("POST", "/v1/devices/{device}/points/{point}", "/v1/devices/d1/points/setpoint", '{"value":55,"id":"c-1"}', 200),
    ("POST", "/v1/devices/{device}/points/{point}", "/v1/devices/d1/points/setpoint", "99", 422),
    ("POST", "/v1/devices/{device}/points/{point}", "/v1/devices/d1/points/setpoint", '"warm"', 422),
    ("POST", "/v1/devices/{device}/points/{point}", "/v1/devices/d1/points/setpoint", '{"value":', 400),
    ("POST", "/v1/devices/{device}/points/{point}", "/v1/devices/d1/points/polls", "1", 403),
    ("POST", "/v1/devices/{device}/points/{point}", "/v1/devices/d1/points/none", "1", 404),
    ("POST", "/v1/reload", "/v1/reload", None, 200),
    ("POST", "/v1/scan", "/v1/scan", '{"plugin":"serial"}', 200),
    ("POST", "/v1/scan", "/v1/scan", '{"plugin":"serial","fast":true}', 400),
    ("POST", "/v1/scan", "/v1/scan", '{"plugin":"serial","arguments":["a",1]}', 400),
    ("POST", "/v1/scan", "/v1/scan", '{"plugin":"../serial"}', 400),
    ("POST", "/v1/scan", "/v1/scan", '["serial"]', 400),
    ("POST", "/v1/scan", "/v1/scan", '{"plugin":"nosuch"}', 404),
    ("POST", "/v1/scan", "/v1/scan", '{"plugin":"modbus","link":"nosuch"}', 404),
    ("POST", "/v1/scan", "/v1/scan", '{"plugin":"serial","link":"bus"}', 422),
    ("POST", "/v1/scan", "/v1/scan", '{"plugin":"sim"}', 422),
    ("POST", "/v1/queue/purge", "/v1/queue/purge", None, 200),
]


def test_every_path_answers_as_the_openapi_file_says(plant):
    daemon = run(plant, [uplink(1)])
    for method, path, url, body, status in CASES:
        response, data = ask(daemon.api, method, url, body)
        assert response.status == status, f"{method} {url}: {response.status} {data!r}"
        hold_answer(method, path, response, data)


def test_no_path_is_missing_in_file_or_test():
    with open(os.path.join(TOP, "src", "api", "api_route.c"), encoding="utf-8") as f:
        built = {(method, path.replace("{d}", "{device}").replace("{p}", "{point}"))
                 for method, path in re.findall(r'\{"([A-Z]+)", "([^"]+)", API_', f.read())}
    told = {(method.upper(), path) for path, methods in SPEC["paths"].items() for method in methods}
    assert built == told
    assert {(case[0], case[1]) for case in CASES} == told


# ---- what it does ----

def test_a_write_arrives_and_is_read_back(plant):
    daemon = run(plant)
    response, data = ask(daemon.api, "POST", "/v1/devices/d1/points/setpoint", '{"value":61,"id":"x"}')
    assert (response.status, json.loads(data)) == (
        200, {"ok": True, "done": "yes", "id": "x", "value": 61, "read_back": True})

    def now():
        return {p["name"]: p.get("value") for p in get(daemon, "/v1/devices/d1")["points"]}["setpoint"]

    wait_until(lambda: now() == 61, what="the value that was written")


def test_export_is_whole_and_in_order_and_purge_is_counted(plant):
    daemon = run(plant, [uplink(1)], queue='commit = "50ms";')
    wait_until(lambda: get(daemon, "/v1/queue")["on_disk"] >= 100, 60, "a hundred samples on disk")
    _, data = ask(daemon.api, "GET", "/v1/queue/export")
    samples = [json.loads(line) for line in data.splitlines()]
    numbers = [s["seq"] for s in samples]
    assert len(numbers) >= 100 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert [s["values"]["polls"] for s in samples if s["device"] == "d1"][:3] == [1, 2, 3]
    counted = {d["device"]: d["samples"] for d in get(daemon, "/v1/queue")["devices"]}
    assert sum(counted.values()) >= 100  # the gateway counts among its devices
    _, data = ask(daemon.api, "POST", "/v1/queue/purge")
    purged = json.loads(data)["purged"]
    assert purged >= 100
    queue = get(daemon, "/v1/queue")
    assert queue["samples"] < 100 and queue["dropped"]["purged"] == purged
    assert ("oldest_s" in queue) == (queue["samples"] > 0), queue
    daemon.wait_line(f"local API, user {os.getuid()}, process {os.getpid()}: purge of the queue: {purged} samples")


def test_where_nothing_waits_nothing_has_an_age(plant):
    """Without an uplink nothing is kept: an age beside `samples: 0` would be that of nothing."""
    daemon = run(plant)
    rounds = get(daemon, "/v1/status")["polls"]["rounds"]
    wait_until(lambda: get(daemon, "/v1/status")["polls"]["rounds"] > rounds + 5, what="polls")
    queue = get(daemon, "/v1/queue")
    assert queue["samples"] == 0 and "oldest_s" not in queue, queue
    assert b"\nhaywain_queue_oldest_seconds 0\n" in ask(daemon.api, "GET", "/metrics")[1]


def test_the_stream_gives_samples_as_they_are_taken(plant):
    daemon = run(plant)
    connection = Connection(daemon.api)
    connection.request("GET", "/v1/readings/stream?device=d1")
    response = connection.getresponse()
    counts = []
    while len(counts) < 5:
        line = response.readline()
        assert line
        if line.startswith(b"data: "):
            counts.append(json.loads(line[6:])["values"]["polls"])
    assert counts == list(range(counts[0], counts[0] + 5))
    connection.close()


def test_a_stream_that_is_not_read_costs_nothing(plant):
    daemon = run(plant)
    sleeper = socket.socket(socket.AF_UNIX)
    sleeper.connect(daemon.api)
    sleeper.sendall(b"GET /v1/readings/stream HTTP/1.1\r\n\r\n")
    rounds = get(daemon, "/v1/status")["polls"]["rounds"]
    wait_until(lambda: get(daemon, "/v1/status")["polls"]["rounds"] > rounds + 20, what="polls")
    sleeper.close()
    daemon.stop()


def test_a_bad_configuration_is_told_at_reload_and_changes_nothing(plant):
    daemon = run(plant)
    with open(daemon.file, "a", encoding="utf-8") as f:
        f.write("gateway2: {};\n")
    response, data = ask(daemon.api, "POST", "/v1/reload")
    hold_answer("POST", "/v1/reload", response, data)
    assert response.status == 422 and "gateway2" in json.loads(data)["messages"][0]["text"]
    assert get(daemon, "/v1/status")["devices"]["online"] == 1


def raw(daemon, data):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(daemon.api)  # waits where the line before the socket is full
        s.settimeout(20)
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        except BrokenPipeError:
            pass
        got = b""
        while True:
            try:
                more = s.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                return got
            got += more


@pytest.mark.parametrize("request_, status", [
    (b"NONSENSE\r\n\r\n", 400),
    (b"GET /v1/status HTTP/2.7\r\n\r\n", 505),
    (b"GET /%zz HTTP/1.1\r\n\r\n", 400),
    (b"GET /" + b"a" * 300 + b" HTTP/1.1\r\n\r\n", 414),
    (b"GET /v1/status HTTP/1.1\r\nX: " + b"a" * 9000, 431),
    (b"POST /v1/reload HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
    (b"POST /v1/reload HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    (b"POST /v1/reload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    (b"DELETE /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n", 405),
    (b"GET /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
    (b"GET /v1/devices?device=d1 HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
])
def test_a_request_that_is_wrong_is_answered_with_json(plant, request_, status):
    daemon = run(plant)
    head, _, body = raw(daemon, request_).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert json.loads(body)["error"]
    assert get(daemon, "/v1/status")["gateway"] == "plant"


def test_more_connections_than_there_may_be_are_turned_away_and_the_others_stay(plant):
    daemon = run(plant)
    held = []
    for _ in range(30):
        s = socket.socket(socket.AF_UNIX)
        s.connect(daemon.api)
        held.append(s)
    # It is told before it has asked: what it then sends finds nobody.
    for path in ("/v1/status", "/v1/queue", "/v1/queue/export", "/v1/scan"):
        answer = wait_until(lambda path=path: next(
            (a for a in [raw(daemon, b"GET %s HTTP/1.1\r\n\r\n" % path.encode())] if a.startswith(b"HTTP/1.1 503 ")), None),
            what="503")
        hold(json.loads(answer.partition(b"\r\n\r\n")[2]), SPEC["components"]["responses"]["Error"]["content"]
             ["application/json"]["schema"], f"503 of {path}")
    for s in held:
        s.close()
    wait_until(lambda: raw(daemon, b"GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 "),
               what="room again")


def test_several_requests_on_one_connection(plant):
    daemon = run(plant)
    data = raw(daemon, b"GET /v1/links HTTP/1.1\r\n\r\n" * 3 + b"GET /v1/queue HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert data.count(b"HTTP/1.1 200 OK") == 4


# ---- statuses that take a special hour ----

def start(plant, slave, timeout, points=POINTS, every="100ms", more_links=()):
    daemon = plant.haywain(start=False)
    daemon.api = os.path.join(daemon.dir, "api.sock")
    daemon.configure(configuration([], [link(slave, timeout=timeout), *more_links], [device(points=points, every=every)],
                                   rest=f'api: {{ socket = "{daemon.api}"; }};\n'))
    return daemon.start()


def hold_write(daemon, body):
    response, data = ask(daemon.api, "POST", "/v1/devices/d1/points/setpoint", body)
    hold_answer("POST", "/v1/devices/{device}/points/{point}", response, data)
    return response.status, json.loads(data)


def test_a_write_that_the_device_refuses_is_502(plant):
    slave = plant.slave()
    slave.answer = lambda t, u, pdu: slave.good(t, u, pdu) if pdu[0] == 3 else slave.frame(t, u, bytes([pdu[0] | 0x80, 3]))
    daemon = start(plant, slave.port, "2s")
    daemon.wait_line("d1: online")
    status, answer = hold_write(daemon, "55")
    assert status == 502 and answer["error"] == "refused: illegal data value" and answer["done"] == "no"
    line = daemon.wait_line("local API, user", "write d1 setpoint = 55: ")
    assert f"user {os.getuid()}, process {os.getpid()}: " in line and answer["error"] in line


def test_a_write_to_a_link_that_is_down_is_503(plant):
    daemon = start(plant, 1, "2s")
    daemon.wait_line("link bus", "down")
    status, answer = hold_write(daemon, "55")
    assert status == 503 and "offline" in answer["error"]


def test_more_writes_than_a_device_takes_are_429_and_one_that_waits_too_long_410(plant):
    let_go = threading.Event()
    slave = plant.slave()

    def answer(transaction, unit, pdu):
        if pdu[0] == 3:
            return slave.good(transaction, unit, pdu)
        let_go.wait(60)
        return slave.frame(transaction, unit, pdu[:5])

    slave.answer = answer
    plant.defer(let_go.set)
    daemon = start(plant, slave.port, "30s", points=POINTS.replace("min = 30; max = 75;", ""), every="1h")
    daemon.wait_line("d1: online")
    got = []

    def write(body):
        got.append(hold_write(daemon, body))

    threads = [threading.Thread(target=write, args=('{"value":40,"ttl_ms":1}' if i == 1 else "40",)) for i in range(17)]
    threads[0].start()
    wait_until(lambda: any(pdu[0] != 3 for _, _, pdu in slave.requests), what="the first write")
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: got, what="the one too many")
    assert [status for status, _ in got] == [429]
    let_go.set()
    for thread in threads:
        thread.join()
    statuses = sorted(status for status, _ in got)
    # The hasty one is the one too many, or has expired.
    assert statuses in ([200] * 15 + [410, 429], [200] * 16 + [429]), got


def unread(sock):
    """Bytes that were sent on it, and that the other end has not read."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0]


def test_one_command_behind_another_can_expire(plant):
    let_go = threading.Event()
    slave = plant.slave()

    def answer(transaction, unit, pdu):
        if pdu[0] == 3:
            return slave.good(transaction, unit, pdu)
        let_go.wait(60)
        return slave.frame(transaction, unit, pdu[:5])

    slave.answer = answer
    plant.defer(let_go.set)
    daemon = start(plant, slave.port, "30s", every="1h")
    daemon.wait_line("d1: online")
    connections = [Connection(daemon.api) for _ in range(2)]
    connections[0].request("POST", "/v1/devices/d1/points/setpoint", "40")
    wait_until(lambda: any(pdu[0] != 3 for _, _, pdu in slave.requests), what="the first write")
    connections[1].request("POST", "/v1/devices/d1/points/setpoint", '{"value":41,"ttl_ms":1}')
    wait_until(lambda: unread(connections[1].sock) == 0, what="the daemon to have read it")
    read = time.monotonic()
    wait_until(lambda: time.monotonic() > read + 0.01, what="its millisecond to be over")
    let_go.set()
    assert connections[0].getresponse().status == 200
    response = connections[1].getresponse()
    data = response.read()
    hold_answer("POST", "/v1/devices/{device}/points/{point}", response, data)
    assert response.status == 410 and "expired" in json.loads(data)["error"], data


def test_more_streams_than_there_may_be_are_429(plant):
    daemon = run(plant)
    streams = []
    for _ in range(8):
        connection = Connection(daemon.api)
        connection.request("GET", "/v1/readings/stream")
        streams.append((connection, connection.getresponse()))
    response, data = ask(daemon.api, "GET", "/v1/readings/stream")
    hold_answer("GET", "/v1/readings/stream", response, data)
    assert response.status == 429
    streams.pop()[0].close()
    wait_until(lambda: begins(daemon, "/v1/readings/stream"), what="room for a stream")


def begins(daemon, url):
    connection = Connection(daemon.api)
    connection.request("GET", url)
    status = connection.getresponse().status
    connection.close()
    return status == 200


@pytest.mark.parametrize("url", ["/v1/queue", "/v1/queue/export"])
def test_more_looks_at_the_queue_than_there_may_be_are_429(plant, url):
    daemon = run(plant)
    connections = [Connection(daemon.api) for _ in range(20)]
    for connection in connections:
        connection.connect()
    wait_until(lambda: sockets(daemon) >= 20, what="all to be let in")
    # All at once: the daemon finds the twenty in one turn of its loop.
    daemon.process.send_signal(signal.SIGSTOP)
    for connection in connections:
        connection.request("GET", url)
    daemon.process.send_signal(signal.SIGCONT)
    answers = [(response, response.read()) for response in (connection.getresponse() for connection in connections)]
    for response, data in answers:
        hold_answer("GET", url, response, data)
    statuses = [response.status for response, _ in answers]
    assert set(statuses) == {200, 429} and statuses.count(200) >= 8, statuses
    assert ask(daemon.api, "GET", url)[0].status == 200


def sockets(daemon):
    """Connections that the daemon has accepted at its API."""
    with open("/proc/net/unix", encoding="utf-8") as f:
        return sum(line.split()[5] == "03" for line in f if line.rstrip().endswith(" " + daemon.api))


# ---- why something is away ----

def test_a_link_that_nothing_was_tried_on_is_not_up(plant):
    """It said "up" of a link without a device, and of one whose device is asked once a day, while nothing listens there."""
    slave = plant.slave()
    daemon = start(plant, slave.port, "2s", more_links=[link(1, "spare")])
    daemon.wait_line("d1: online")
    states = {l["name"]: l["state"] for l in get(daemon, "/v1/links")["links"]}
    assert states == {"bus": "up", "spare": "unused"}
    assert get(daemon, "/v1/status")["links"] == {"total": 2, "down": 0, "unused": 1}
    metrics = ask(daemon.api, "GET", "/metrics")[1].decode()
    assert 'haywain_link_up{link="bus"} 1\n' in metrics and 'haywain_link_up{link="spare"}' not in metrics


def test_the_reason_of_a_device_is_the_true_one(plant):
    """`meter panel offline ... offline`: the reason, that nobody listens there, stood in the log only."""
    daemon = start(plant, 1, "2s")
    daemon.wait_line("link bus", "down")
    told = get(daemon, "/v1/devices/d1")
    why = get(daemon, "/v1/links")["links"][0]["reason"]
    assert told["state"] == "offline" and told["reason"] == f"link bus is down: {why}" and "refused" in why, told
    # A device that is silent on a link that is up: why it alone is away.
    silent = plant.slave(lambda *_: None)
    daemon = start(plant, silent.port, "50ms")
    daemon.wait_line("d1: offline")
    told = get(daemon, "/v1/devices/d1")
    assert told["reason"] and told["reason"] != "offline" and "link" not in told["reason"], told
    assert f'd1: offline: {told["reason"]}' in daemon.text()


# ---- the socket ----

def test_the_socket_is_for_the_group_replaced_when_stale_and_removed_at_the_end(plant):
    daemon = run(plant)
    assert stat.S_IMODE(os.stat(daemon.api).st_mode) == 0o660
    daemon.kill()
    assert os.path.exists(daemon.api)
    daemon.start()
    assert get(daemon, "/v1/status")["gateway"] == "plant"
    daemon.stop()
    assert not os.path.exists(daemon.api)


def read_socket(daemon):
    return os.path.join(os.path.dirname(daemon.api), "read.sock")


def test_the_socket_for_reading_answers_what_looks_and_refuses_what_changes(plant):
    """There was one socket for all: whoever could ask for the status could write to the plant and purge the queue."""
    daemon = run(plant, [uplink(1)])
    reader = read_socket(daemon)
    assert stat.S_IMODE(os.stat(reader).st_mode) == 0o660
    for method, path, url, body, _ in CASES:
        response, data = ask(reader, method, url, body)
        if method == "POST":
            assert response.status == 405 and response.getheader("Allow") == "", f"{url}: {response.status} {data!r}"
            assert daemon.api in json.loads(data)["error"] and "haywain-admin" in json.loads(data)["error"]
        else:
            assert response.status == ask(daemon.api, method, url, body)[0].status, url
            hold_answer(method, path, response, data)
    assert ask(reader, "HEAD", "/v1/status")[0].status == 200
    connection = Connection(reader)
    connection.request("GET", "/v1/readings/stream")
    assert connection.getresponse().readline().startswith(b"data: ")
    connection.close()
    assert "local API, user" not in daemon.text(), "nothing was changed"
    daemon.stop()
    assert not os.path.exists(reader)


def test_readers_keep_nobody_else_out(plant):
    daemon = run(plant)
    held = []
    for _ in range(30):
        s = socket.socket(socket.AF_UNIX)
        s.connect(read_socket(daemon))
        held.append(s)
    wait_until(lambda: ask(read_socket(daemon), "GET", "/v1/status")[0].status == 503, what="the one too many")
    assert get(daemon, "/v1/status")["gateway"] == "plant"
    for s in held:
        s.close()


def test_the_socket_for_reading_can_be_elsewhere_or_off(plant):
    daemon = plant.haywain(configuration(rest='api: { socket = "full.sock"; read_socket = ""; };\n'))
    daemon.api = os.path.join(daemon.dir, "full.sock")
    assert get(daemon, "/v1/status") and not os.path.exists(read_socket(daemon))
    daemon.stop()
    daemon.configure(configuration(rest='api: { socket = ""; read_socket = "look.sock"; };\n')).start()
    response, data = ask(os.path.join(daemon.dir, "look.sock"), "POST", "/v1/reload")
    assert response.status == 405 and "switched off" in json.loads(data)["error"]


def test_without_its_folder_there_is_one_warning_and_the_gateway_runs(plant):
    modbus = plant.device()
    daemon = plant.haywain(configuration([], [link(modbus.port)], [device()], rest='api: { socket = "/nowhere/at/all.sock"; };\n'))
    daemon.wait_line("local API", "/nowhere/at")
    wait_until(lambda: modbus.counts().get(1, 0) > 3, what="polls")


# ---- commands over MQTT ----

def test_an_uplink_that_may_not_write_hears_no_commands(plant):
    """A point that can be written was enough to open it to everybody who may publish to the broker."""
    broker = plant.broker()
    watcher = plant.subscriber(broker)
    daemon = run(plant, [uplink(broker.port), uplink(broker.port, "second", more='client_id = "second"; prefix = "second"; commands = true;')])
    replies = plant.subscriber(broker, ("+/reply/#", "haywain/plant/reply/#"), client_id="replies")

    def answered():
        watcher.publish("haywain/plant/command/d1/setpoint", '{"value":41,"id":"unasked"}')
        watcher.publish("second/command/d1/setpoint", '{"value":42,"id":"asked"}')
        return [m for m in replies.messages if m.json().get("id") == "asked"]

    wait_until(answered, what="the answer of the uplink that may write")
    assert not [m for m in replies.messages if m.json().get("id") == "unasked"]
    assert "setpoint = 41" not in daemon.text()


def test_a_command_over_mqtt_is_done_and_answered(plant):
    broker = plant.broker()
    replies = plant.subscriber(broker, ("haywain/plant/reply/#",), client_id="replies")
    daemon = run(plant, [uplink(broker.port, more="commands = true;")])
    daemon.wait_line("connected to")

    def order(point, payload, id_=None):
        """Sent until it is answered: the first may come before the daemon has subscribed."""
        def answered():
            replies.publish(f"haywain/plant/command/d1/{point}", payload)
            wait = [m for m in replies.messages
                    if m.topic == f"haywain/plant/reply/d1/{point}" and m.json().get("id") == id_]
            return wait[-1] if wait else None
        return wait_until(answered, 20, "a reply", step=0.3).json()

    assert order("setpoint", '{"value":62,"id":"c-17","ttl_ms":5000}', "c-17") == {
        "id": "c-17", "ok": True, "done": "yes", "value": 62, "read_back": True}
    points = {p["name"]: p.get("value") for p in get(daemon, "/v1/devices/d1")["points"]}
    assert points["setpoint"] in (62, 40, 0)
    no = order("setpoint", '{"value":99,"id":"c-18"}', "c-18")
    assert no["id"] == "c-18" and not no["ok"] and "75" in no["error"]
    assert not order("polls", "1")["ok"]
    assert not order("setpoint", "{broken")["ok"]


def test_a_reply_over_mqtt_tells_what_is_held_and_what_nobody_knows(plant):
    """It gave back what was asked for; and a write whose connection broke was sent again, and told as failed."""
    broker = plant.broker()
    replies = plant.subscriber(broker, ("haywain/plant/reply/#",), client_id="replies")
    slave = plant.slave()

    def answer(transaction, unit, pdu):
        if pdu[0] == 3:
            return slave.good(transaction, unit, pdu)
        if pdu[3:5] == bytes([0, 60]):
            raise ConnectionError
        return slave.frame(transaction, unit, pdu[:5])

    slave.answer = answer
    daemon = plant.haywain(configuration([uplink(broker.port, more="commands = true;")], [link(slave.port)], [device(points=POINTS, every="1h")]))
    daemon.wait_line("d1: online")
    daemon.wait_line("connected to")

    def order(payload, id_):
        replies.publish("haywain/plant/command/d1/setpoint", payload)
        found = []

        def answered():
            found[:] = [m.json() for m in replies.messages if m.json().get("id") == id_]
            return found

        wait_until(answered, 20, "a reply")
        return found[0]

    # The first is sent until it is answered: it may come before the daemon has subscribed.
    wait_until(lambda: replies.publish("haywain/plant/command/d1/setpoint", '{"value":99,"id":"first"}') or
               any(m.json().get("id") == "first" for m in replies.messages), 20, "a first reply", step=0.3)
    # The register of this slave holds 40, whatever is written to it.
    assert order('{"value":55.5,"id":"held"}', "held") == {
        "id": "held", "ok": True, "done": "yes", "value": 40, "asked": 55.5, "read_back": True}
    n = len([pdu for _, _, pdu in slave.requests if pdu[0] != 3])
    reply = order('{"value":60,"id":"lost"}', "lost")
    assert not reply["ok"] and reply["done"] == "unknown" and "connection closed without an answer" in reply["error"]
    daemon.wait_line("d1", "a command from uplink", "not known whether it was done")
    assert len([pdu for _, _, pdu in slave.requests if pdu[0] != 3]) == n + 1


def test_writes_in_a_loop_do_not_fill_the_log_and_each_is_accounted_for(plant):
    """Each command done over MQTT was a line at info: 1.5 MB of log in 20 seconds of a loop."""
    broker = plant.broker()
    replies = plant.subscriber(broker, ("haywain/plant/reply/#",), client_id="replies")
    daemon = run(plant, [uplink(broker.port, more="commands = true;")],
                 points=POINTS + ', { name = "pump"; holding = 44; access = "write"; }', n_points=3)
    daemon.wait_line("connected to")

    def answers():
        return [m for m in list(replies.messages) if m.topic.endswith("/d1/setpoint")]

    def first():
        replies.publish("haywain/plant/command/d1/setpoint", "40")
        return answers()

    wait_until(first, what="the first reply", step=0.3)
    for value in range(31, 71):
        n = len(answers())
        replies.publish("haywain/plant/command/d1/setpoint", str(value))
        wait_until(lambda n=n: len(answers()) > n, what="a reply")
    replies.publish("haywain/plant/command/d1/pump", "1")
    daemon.wait_line("device d1: pump = 1 was written by uplink cloud")
    for value in range(31, 51):
        assert ask(daemon.api, "POST", "/v1/devices/d1/points/setpoint", str(value))[0].status == 200
    n_done = sum(m.json()["ok"] for m in answers())
    assert n_done > 40
    daemon.stop()
    text = daemon.text()
    told = re.findall(r"device d1: setpoint = \d+ was written by uplink cloud", text)
    summed = re.search(r"device d1: setpoint was written (\d+) times more in the last 10 min by uplink cloud: "
                       r"from 3\d to 70, last 70", text)
    assert len(told) == 6 and int(summed.group(1)) == n_done - 6, text
    assert len(re.findall(r"local API, user .*: write d1 setpoint = \d+: done", text)) == 6, text
    assert f"setpoint was written 14 times more in the last 10 min by user {os.getuid()} over the local API" in text, text
