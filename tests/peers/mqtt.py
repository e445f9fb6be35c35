# SPDX-License-Identifier: Apache-2.0
"""A small MQTT 3.1.1 subscriber: keeps its session at the broker, comes back after an outage, and tells
what was sent twice by the gateway from what the broker only repeated to us (DUP on our own connection)."""
import json
import select
import socket
import ssl
import struct
import threading
import time


def _text(text):
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def _packet(kind, body):
    length, left = b"", len(body)
    while True:
        byte, left = left & 127, left >> 7
        length += bytes([byte | (128 if left else 0)])
        if not left:
            return bytes([kind]) + length + body


class Message:
    def __init__(self, topic, payload, retained, repeated):
        self.topic, self.payload, self.retained = topic, payload, retained
        self.repeated = repeated  # by the broker
        self.at = time.time()

    def json(self):
        return json.loads(self.payload)


class Subscriber:
    """on_message(Message) is called on the subscriber's thread."""

    def __init__(self, port, filters=("#",), ca_file=None, client_id="counter", username=None, password=None,
                 on_message=None, host="localhost"):
        self.port, self.filters, self.host = port, filters, host
        self.client_id, self.username, self.password = client_id, username, password
        self.context = None
        if ca_file:
            self.context = ssl.create_default_context(cafile=ca_file)
        self.messages = []
        self.on_message = on_message or self.messages.append
        self.connected = threading.Event()
        self.fault = None
        self._closing = False
        self._socket = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, timeout=20):
        self._thread.start()
        if not self.connected.wait(timeout):
            raise TimeoutError(f"the subscriber does not get to the broker: {self.fault}")
        return self

    def close(self):
        self._closing = True
        self._thread.join(5)

    def publish(self, topic, payload, retain=False):
        body = _text(topic) + (payload.encode() if isinstance(payload, str) else payload)
        self._socket.sendall(_packet(0x30 | retain, body))

    def _run(self):
        while not self._closing:
            try:
                self._session()
            except (OSError, ConnectionError, ssl.SSLError) as fault:
                self.fault = fault
            self.connected.clear()
            time.sleep(0.05)

    def _session(self):
        s = socket.create_connection((self.host, self.port), 5)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context:
            s = self.context.wrap_socket(s, server_hostname=self.host)
        self._socket = s
        with s:
            flags, tail = 0, b""
            if self.username:
                flags, tail = 0xC0, _text(self.username) + _text(self.password)
            s.sendall(_packet(0x10, _text("MQTT") + bytes([4, flags]) + struct.pack(">H", 0) +
                              _text(self.client_id) + tail))
            self._buffer = b""
            kind, body = self._read(5)
            if kind != 0x20 or body[1] != 0:
                raise ConnectionError(f"refused with code {body[1]}")
            s.sendall(_packet(0x82, struct.pack(">H", 1) + b"".join(_text(f) + b"\x01" for f in self.filters)))
            while not self._closing:
                got = self._read(0.2)
                if got is None:
                    continue
                kind, body = got
                if kind == 0x90:
                    self.connected.set()
                elif kind & 0xF0 == 0x30:
                    self._publish(kind, body)
            s.sendall(b"\xe0\x00")

    def _publish(self, kind, body):
        size = struct.unpack(">H", body[:2])[0]
        topic, rest = body[2:2 + size].decode(), body[2 + size:]
        if kind & 0x06:
            acknowledgement, rest = _packet(0x40, rest[:2]), rest[2:]
            self.on_message(Message(topic, rest, bool(kind & 1), bool(kind & 8)))
            self._socket.sendall(acknowledgement)
        else:
            self.on_message(Message(topic, rest, bool(kind & 1), False))

    def _read(self, timeout):
        """One packet (first byte, body), or None after the time-out."""
        while True:
            packet = self._take()
            if packet:
                return packet
            pending = self.context and self._socket.pending()
            if not pending and not select.select([self._socket], [], [], timeout)[0]:
                return None
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("closed by the broker")
            self._buffer += data

    def _take(self):
        length, shift = 0, 0
        for i in range(1, min(5, len(self._buffer))):
            length |= (self._buffer[i] & 127) << shift
            shift += 7
            if self._buffer[i] < 128:
                end = i + 1 + length
                if len(self._buffer) < end:
                    return None
                packet = self._buffer[0], self._buffer[i + 1:end]
                self._buffer = self._buffer[end:]
                return packet
        return None


class Account:
    """What arrived of which device: sequence numbers, and the values of one counting point."""

    def __init__(self, counter="polls"):
        self.counter = counter
        self.samples = {}  # device -> list of (seq, object), in the order of arrival, repeats of the broker left out
        self._seen = set()
        self._lock = threading.Lock()

    def take(self, message, device=None):
        """Count a message of a data topic. Gives the samples that were not seen before."""
        value = message.json()
        fresh = []
        with self._lock:
            for sample in value if isinstance(value, list) else [value]:
                key = sample["seq"]
                if key in self._seen and message.repeated:
                    continue
                if key not in self._seen:
                    fresh.append(sample)
                self._seen.add(key)
                self.samples.setdefault(sample.get("device") or device, []).append(sample)
        return fresh

    def counts(self, device):
        """The counter's values, first arrivals only, in order of arrival."""
        seen, result = set(), []
        with self._lock:
            for sample in self.samples.get(device, []):
                if sample["seq"] not in seen and self.counter in sample.get("values", {}):
                    result.append(sample["values"][self.counter])
                seen.add(sample["seq"])
        return result

    def distinct(self):
        with self._lock:
            return len(self._seen)

    def arrivals(self):
        with self._lock:
            return sum(len(s) for s in self.samples.values())

    def twice(self):
        return self.arrivals() - self.distinct()

    def out_of_order(self, device):
        """First arrivals that came after a later one of the same device."""
        highest, seen, wrong = -1, set(), []
        with self._lock:
            for sample in self.samples.get(device, []):
                if sample["seq"] in seen:
                    continue
                seen.add(sample["seq"])
                if sample["seq"] < highest:
                    wrong.append(sample["seq"])
                highest = max(highest, sample["seq"])
        return wrong
