# SPDX-License-Identifier: Apache-2.0
"""Stands between the daemon and its broker: passes MQTT packets on, swallows some, hangs up, or ends TLS."""
import socket
import ssl
import threading

CONNECT, PUBLISH, PUBACK = 1, 3, 4


class Relay:
    """up(kind, packet) and down(kind, packet) see each packet to and from the broker, and give whether it is passed on;
    ConnectionError hangs up. certificate: (file, key file) to be a TLS server; protocols: what to take by ALPN."""

    def __init__(self, port, up=None, down=None, certificate=None, protocols=()):
        self.target, self.up, self.down = port, up, down
        self.connections = 0
        self.chosen = []  # by ALPN, for each connection
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
            if protocols:
                self.context.set_alpn_protocols(list(protocols))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._pairs = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        pair = [client]
        self._pairs.append(pair)
        try:
            if self.context:
                client = pair[0] = self.context.wrap_socket(client, server_side=True)
                self.chosen.append(client.selected_alpn_protocol())
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        pair.append(server)
        self.connections += 1
        threading.Thread(target=self._pass, args=(server, client, lambda *p: not self.down or self.down(*p), pair),
                         daemon=True).start()
        self._pass(client, server, lambda *p: not self.up or self.up(*p), pair)

    def _pass(self, source, sink, wanted, pair):
        data = b""
        try:
            while True:
                more = source.recv(65536)
                if not more:
                    break
                data += more
                while True:
                    end = self._packet_end(data)
                    if not end:
                        break
                    packet, data = data[:end], data[end:]
                    if wanted(packet[0] >> 4, packet):
                        sink.sendall(packet)
        except OSError:
            pass
        self._cut(pair)

    @staticmethod
    def _packet_end(data):
        length = 0
        for i in range(1, min(5, len(data))):
            length |= (data[i] & 127) << 7 * (i - 1)
            if data[i] < 128:
                end = i + 1 + length
                return end if len(data) >= end else 0
        return 0

    @staticmethod
    def _cut(pair):
        for s in pair:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """All connections."""
        for pair in self._pairs:
            self._cut(pair)

    def close(self):
        self._listener.close()
        self.cut()
