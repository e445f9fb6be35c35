# SPDX-License-Identifier: Apache-2.0
"""A Modbus TCP slave that does what a test says."""
import socket
import struct
import threading
import time


class ScriptedSlave:
    """A Modbus TCP slave that does what the test says. answer(transaction, unit, pdu) gives the bytes to send,
    None for silence, or raises ConnectionError to close the connection."""

    def __init__(self, answer=None, host="127.0.0.1"):
        self.answer = answer or self.good
        self.counters = {}  # unit -> how many requests read register 0
        self.requests = []  # (time, unit, pdu)
        self.connections = 0
        self._listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self._listener.getsockname()[1]
        self._sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    @staticmethod
    def frame(transaction, unit, pdu):
        return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu

    def registers(self, unit, pdu):
        """Register 0-1: how often it was read, high word first; any other: its own address."""
        function, address, count = struct.unpack(">BHH", pdu[:5])
        if address == 0:
            self.counters[unit] = self.counters.get(unit, 0) + 1
        n = self.counters.get(unit, 0)
        values = [n >> 16 if a == 0 else n & 0xFFFF if a == 1 else a for a in range(address, address + count)]
        return struct.pack(f">BB{count}H", function, 2 * count, *values)

    def good(self, transaction, unit, pdu):
        return self.frame(transaction, unit, self.registers(unit, pdu))

    def _accept(self):
        while True:
            try:
                s, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(s)
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        try:
            while True:
                more = s.recv(4096)
                if not more:
                    return
                data += more
                while len(data) >= 7:
                    transaction, _, length, unit = struct.unpack(">HHHB", data[:7])
                    if len(data) < 6 + length:
                        break
                    pdu, data = data[7:6 + length], data[6 + length:]
                    self.requests.append((time.monotonic(), unit, pdu))
                    reply = self.answer(transaction, unit, pdu)
                    if reply:
                        s.sendall(reply)
        except OSError:
            pass
        finally:
            s.close()

    def close(self):
        self._listener.close()
        for s in self._sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
