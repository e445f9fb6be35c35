# SPDX-License-Identifier: Apache-2.0
"""org.bluez for the tests: python3-dbusmock's template bluez5, and what that lacks. Advertisements as bluetoothd tells
them, GATT objects, advertisement monitors, and calls that fail, come late or never. Loaded by `python3 -m dbusmock -t`;
driven over org.bluez.Mock by tests/peers/bluez.py."""
import dbus
import dbus.lowlevel
from dbusmock import OBJECT_MANAGER_IFACE, mockobject
from dbusmock.templates import bluez5 as base
from dbusmock.templates.bluez5 import *   # noqa: F401,F403  (AddAdapter and the interfaces' methods)
from gi.repository import GLib

BUS_NAME = "org.bluez"
MAIN_OBJ = "/"
SYSTEM_BUS = True
IS_OBJECT_MANAGER = True
MOCK = base.BLUEZ_MOCK_IFACE
DEVICE, ADAPTER = base.DEVICE_IFACE, base.ADAPTER_IFACE
SERVICE, CHARACTERISTIC = "org.bluez.GattService1", "org.bluez.GattCharacteristic1"
MONITORS = "org.bluez.AdvertisementMonitorManager1"
faults = {}    # (path, method) -> [error name, message, delay in ms, times]
monitors = {}  # who registered -> paths
calls = {}     # "path method" -> how often
blocked = set()  # adapters' paths
nonsense = []  # what GetManagedObjects answers, one after the other
limit = [0]    # connections at a time; 0: any number
bus = None


def load(mock, parameters):
    global bus
    base.load(mock, {**parameters, "enable_monitor_api": False})  # monitors that activate nothing, where it has them
    bus = mock.connection
    bus.add_message_filter(before)


def before(_connection, message):
    """Answers that the mock's own objects cannot give."""
    member, path = message.get_member(), message.get_path()
    if message.get_type() != dbus.lowlevel.MESSAGE_TYPE_METHOD_CALL:
        return dbus.lowlevel.HANDLER_RESULT_NOT_YET_HANDLED
    if member == "GetManagedObjects" and nonsense:
        reply = dbus.lowlevel.MethodReturnMessage(message)
        signature, value = nonsense.pop(0)
        reply.append(*value, signature=signature)
        bus.send_message(reply)
    elif member == "Set" and path in blocked and message.get_args_list()[1] == "Powered":
        calls[f"{path} Set"] = calls.get(f"{path} Set", 0) + 1
        bus.send_message(dbus.lowlevel.ErrorMessage(message, "org.bluez.Error.Blocked", "Blocked through rfkill"))
    else:
        return dbus.lowlevel.HANDLER_RESULT_NOT_YET_HANDLED
    return dbus.lowlevel.HANDLER_RESULT_HANDLED


def root():
    return mockobject.objects["/"]


def added(path, interfaces):
    root().EmitSignal(OBJECT_MANAGER_IFACE, "InterfacesAdded", "oa{sa{sv}}", [dbus.ObjectPath(path), interfaces])


def changed(thing, interface, properties):
    thing.EmitSignal(dbus.PROPERTIES_IFACE, "PropertiesChanged", "sa{sv}as",
                     [interface, dbus.Dictionary(properties, signature="sv"), dbus.Array([], signature="s")])


def answer(thing, method, ok, fail, value=(), then=None):
    """Answer now, late or with an error, as Fault() asked."""
    key = f"{thing.path} {method}"
    calls[key] = calls.get(key, 0) + 1
    fault = faults.get((thing.path, method))
    delay = 0
    if fault:
        fault[3] -= 1
        if not fault[3]:
            del faults[(thing.path, method)]
        delay = fault[2]

    def go():
        if fault and fault[0]:
            fail(dbus.exceptions.DBusException(fault[1], name=fault[0]))
        else:
            if then:
                then()
            ok(*value)
        return False

    if delay > 0:
        GLib.timeout_add(delay, go)
    elif delay == 0:
        go()


@dbus.service.method(MOCK, in_signature="osssiu", out_signature="")
def Fault(_self, path, method, name, message, delay_ms, times):
    """The next calls of a method fail with that error ("": succeed) after a delay (-1: are never answered)."""
    faults[(str(path), str(method))] = [str(name), str(message), int(delay_ms), int(times)]


@dbus.service.method(MOCK, in_signature="os", out_signature="u")
def Calls(_self, path, method):
    return dbus.UInt32(calls.get(f"{path} {method}", 0))


@dbus.service.method(MOCK, in_signature="sb", out_signature="s")
def AddHaywainAdapter(self, name, is_powered):
    path = self.AddAdapter(name, "haywain")
    adapter = mockobject.objects[path]
    adapter.props[ADAPTER]["DiscoveryFilter"] = dbus.Dictionary({}, signature="sv")
    adapter.props[ADAPTER]["Powered"] = dbus.Boolean(is_powered)
    adapter.props[MONITORS] = {"SupportedMonitorTypes": dbus.Array(["or_patterns"], signature="s")}
    for method in ("StartDiscovery", "StopDiscovery"):  # ours can fail and be late
        adapter.methods[ADAPTER][method] = root().methods[ADAPTER][method]
    added(path, adapter.props)
    return path


@dbus.service.method(MOCK, in_signature="s", out_signature="")
def DropAdapter(self, name):
    path = f"/org/bluez/{name}"
    for child in [p for p in mockobject.objects if p.startswith(path + "/")]:
        self.RemoveObject(child)
    self.RemoveObject(path)
    root().EmitSignal(OBJECT_MANAGER_IFACE, "InterfacesRemoved", "oas",
                      [dbus.ObjectPath(path), dbus.Array([ADAPTER, MONITORS], signature="s")])


@dbus.service.method(MOCK, in_signature="sb", out_signature="")
def Power(_self, name, on):
    adapter = mockobject.objects[f"/org/bluez/{name}"]
    properties = {"Powered": dbus.Boolean(on)}
    if not on:
        properties["Discovering"] = dbus.Boolean(False)
    adapter.props[ADAPTER].update(properties)
    changed(adapter, ADAPTER, properties)


@dbus.service.method(MOCK, in_signature="sbb", out_signature="")
def Block(_self, name, on, tells):
    """rfkill. tells: this bluetoothd has the property PowerState."""
    path = f"/org/bluez/{name}"
    adapter = mockobject.objects[path]
    properties = {}
    (blocked.add if on else blocked.discard)(path)
    if on:
        properties = {"Powered": dbus.Boolean(False), "Discovering": dbus.Boolean(False)}
    if tells:
        properties["PowerState"] = dbus.String("off-blocked" if on else "off")
    adapter.props[ADAPTER].update(properties)
    if properties:
        changed(adapter, ADAPTER, properties)


@dbus.service.method(MOCK, in_signature="", out_signature="")
def AnswerNonsense(_self):
    """The next three answers of GetManagedObjects."""
    nonsense.extend([("", ()), ("s", ("no objects",)), ("a{sv}", ({"Powered": dbus.Boolean(True)},))])


@dbus.service.method(MOCK, in_signature="ss", out_signature="")
def SayNonsense(_self, adapter, address):
    """Signals of wrong signatures, properties of wrong types, and sizes nothing in the air has."""
    path = f"/org/bluez/{adapter}/dev_" + address.replace(":", "_")
    text, number, none = dbus.String("x", variant_level=1), dbus.Int32(-7, variant_level=1), dbus.Array([], signature="s")
    huge = dbus.Array(bytes(60000), signature="y", variant_level=1)
    properties = [
        {"RSSI": text}, {"RSSI": dbus.Int64(-60, variant_level=1)}, {"Name": number}, {"AddressType": number}, {"UUIDs": text},
        {"UUIDs": dbus.Array(["", "fcd2", "x" * 5000], signature="s", variant_level=1)}, {"Connected": text}, {"Value": text},
        {"ServicesResolved": number}, {"ServiceData": text}, {"ManufacturerData": number}, {"ServiceData": huge},
        {"ServiceData": dbus.Dictionary({"fcd2": "x"}, signature="ss", variant_level=1)},
        {"ServiceData": dbus.Dictionary({"fcd2": text, "": number, "\u00e9" * 3000: huge}, signature="sv", variant_level=1)},
        {"ManufacturerData": dbus.Dictionary({"1": huge}, signature="sv", variant_level=1)},
        {"ManufacturerData": dbus.Dictionary({dbus.UInt16(c): huge for c in (1, 0x499, 0x4C)}, signature="qv", variant_level=1)},
        {"ManufacturerData": dbus.Dictionary({dbus.UInt16(c): text for c in range(3000)}, signature="qv", variant_level=1)},
        {"Name": dbus.String("\x01\x7f\u202e" * 9000, variant_level=1), "RSSI": dbus.Int16(-60, variant_level=1)}]
    signals = [(path, dbus.PROPERTIES_IFACE, "PropertiesChanged", "sa{sv}as", (DEVICE, p, none)) for p in properties]
    signals += [(f"/org/bluez/{adapter}", dbus.PROPERTIES_IFACE, "PropertiesChanged", "sa{sv}as", (ADAPTER, p, none))
                for p in ({"Powered": text}, {"Discovering": number}, {"PowerState": number})]
    signals += [(path, dbus.PROPERTIES_IFACE, "PropertiesChanged", signature, value)
                for signature, value in (("", ()), ("s", (DEVICE,)), ("sa{ss}as", (DEVICE, {"RSSI": "1"}, none)), ("u", (1,)))]
    signals += [("/", OBJECT_MANAGER_IFACE, member, signature, value) for member in ("InterfacesAdded", "InterfacesRemoved")
                for signature, value in (("", ()), ("o", (path,)), ("oa{ss}", (path, {DEVICE: "x"})), ("s", ("x",)))]
    for place, interface, member, signature, value in signals:
        signal = dbus.lowlevel.SignalMessage(place, interface, member)
        signal.append(*value, signature=signature)
        bus.send_message(signal)


@dbus.service.method(MOCK, in_signature="u", out_signature="")
def Limit(_self, connections):
    limit[0] = int(connections)


def discovering(adapter, on):
    adapter.props[ADAPTER]["Discovering"] = dbus.Boolean(on)
    changed(adapter, ADAPTER, {"Discovering": dbus.Boolean(on)})


@dbus.service.method(ADAPTER, in_signature="", out_signature="", async_callbacks=("ok", "fail"))
def StartDiscovery(self, ok=None, fail=None):
    answer(self, "StartDiscovery", ok, fail, then=lambda: discovering(self, True))


@dbus.service.method(ADAPTER, in_signature="", out_signature="", async_callbacks=("ok", "fail"))
def StopDiscovery(self, ok=None, fail=None):
    answer(self, "StopDiscovery", ok, fail, then=lambda: discovering(self, False))


@dbus.service.method(MOCK, in_signature="ssa{sv}", out_signature="")
def Advertise(self, adapter, address, properties):
    """One advertisement: a new object, or a change of the one there is."""
    path = f"/org/bluez/{adapter}/dev_" + address.replace(":", "_")
    device = mockobject.objects.get(path)
    if device:
        device.props[DEVICE].update(properties)
        changed(device, DEVICE, properties)
        return
    all_properties = {"Address": dbus.String(address), "AddressType": dbus.String("random"),
                      "Connected": dbus.Boolean(False), "ServicesResolved": dbus.Boolean(False),
                      "UUIDs": dbus.Array([], signature="s"), "Adapter": dbus.ObjectPath("/org/bluez/" + adapter)}
    all_properties.update(properties)
    self.AddObject(path, DEVICE, all_properties, [])
    added(path, mockobject.objects[path].props)


@dbus.service.method(MOCK, in_signature="suuu", out_signature="")
def Flood(_self, adapter, per_second, seconds, addresses):
    """BTHome sensors of that many addresses in turn, each time with another packet id and temperature."""
    service = "0000fcd2-0000-1000-8000-00805f9b34fb"
    began = GLib.get_monotonic_time()
    sent = 0

    def send():
        nonlocal sent
        for _ in range(sent, (GLib.get_monotonic_time() - began) * per_second // 1000000):
            n, packet = sent % addresses, sent // addresses & 255
            signal = dbus.lowlevel.SignalMessage(f"/org/bluez/{adapter}/dev_C0_00_00_00_{n >> 8:02X}_{n & 255:02X}",
                                                 dbus.PROPERTIES_IFACE, "PropertiesChanged")
            data = dbus.Array([0x40, 0x00, packet, 0x02, sent & 255, 9], signature="y", variant_level=1)
            signal.append(DEVICE, {"RSSI": dbus.Int16(-60 - n % 30, variant_level=1),
                                   "ServiceData": dbus.Dictionary({service: data}, signature="sv", variant_level=1)},
                          dbus.Array([], signature="s"), signature="sa{sv}as")
            bus.send_message(signal)
            sent += 1
        calls["/flood sent"] = sent
        return sent < per_second * seconds

    GLib.timeout_add(10, send)


@dbus.service.method(MOCK, in_signature="oss", out_signature="")
def AddService(self, device, name, uuid):
    path = f"{device}/{name}"
    self.AddObject(path, SERVICE, {"UUID": dbus.String(uuid), "Primary": dbus.Boolean(True),
                                   "Device": dbus.ObjectPath(device)}, [])
    added(path, mockobject.objects[path].props)


@dbus.service.method(MOCK, in_signature="ossasay", out_signature="")
def AddCharacteristic(self, service, name, uuid, flags, value):
    path = f"{service}/{name}"
    self.AddObject(path, CHARACTERISTIC, {
        "UUID": dbus.String(uuid), "Service": dbus.ObjectPath(service), "Value": dbus.Array(value, signature="y"),
        "Flags": dbus.Array(flags, signature="s"), "Notifying": dbus.Boolean(False)}, [])
    added(path, mockobject.objects[path].props)


@dbus.service.method(MOCK, in_signature="oay", out_signature="")
def Notify(_self, path, value):
    thing = mockobject.objects[path]
    thing.props[CHARACTERISTIC]["Value"] = dbus.Array(value, signature="y")
    changed(thing, CHARACTERISTIC, {"Value": dbus.Array(value, signature="y")})


@dbus.service.method(MOCK, in_signature="o", out_signature="ay")
def ValueOf(_self, path):
    return mockobject.objects[path].props[CHARACTERISTIC]["Value"]


@dbus.service.method(CHARACTERISTIC, in_signature="a{sv}", out_signature="ay", async_callbacks=("ok", "fail"))
def ReadValue(self, _options, ok=None, fail=None):
    value = self.props[CHARACTERISTIC]["Value"]
    # bluetoothd tells it as a change too, before it answers
    answer(self, "ReadValue", ok, fail, (value,), then=lambda: changed(self, CHARACTERISTIC, {"Value": value}))


@dbus.service.method(CHARACTERISTIC, in_signature="aya{sv}", out_signature="", async_callbacks=("ok", "fail"))
def WriteValue(self, value, _options, ok=None, fail=None):
    answer(self, "WriteValue", ok, fail, then=lambda: self.props[CHARACTERISTIC].__setitem__("Value", value))


@dbus.service.method(CHARACTERISTIC, in_signature="", out_signature="", async_callbacks=("ok", "fail"))
def StartNotify(self, ok=None, fail=None):
    def then():
        self.props[CHARACTERISTIC]["Notifying"] = dbus.Boolean(True)
        changed(self, CHARACTERISTIC, {"Notifying": dbus.Boolean(True)})
    answer(self, "StartNotify", ok, fail, then=then)


@dbus.service.method(DEVICE, in_signature="", out_signature="", async_callbacks=("ok", "fail"))
def Connect(self, ok=None, fail=None):
    def resolved():
        self.props[DEVICE]["ServicesResolved"] = dbus.Boolean(True)
        changed(self, DEVICE, {"ServicesResolved": dbus.Boolean(True)})
        return False

    def then():
        self.props[DEVICE]["Connected"] = dbus.Boolean(True)
        changed(self, DEVICE, {"Connected": dbus.Boolean(True)})
        GLib.timeout_add(20, resolved)
    if limit[0] and sum(bool(o.props.get(DEVICE, {}).get("Connected")) for o in mockobject.objects.values()) >= limit[0]:
        calls["/limit "] = calls.get("/limit ", 0) + 1
        fail(dbus.exceptions.DBusException("le-connection-abort-by-local", name="org.bluez.Error.Failed"))
        return
    answer(self, "Connect", ok, fail, then=then)


@dbus.service.method(DEVICE, in_signature="", out_signature="", async_callbacks=("ok", "fail"))
def Disconnect(self, ok=None, fail=None):
    def then():
        gone = {"ServicesResolved": dbus.Boolean(False), "Connected": dbus.Boolean(False)}
        self.props[DEVICE].update(gone)
        changed(self, DEVICE, gone)
    answer(self, "Disconnect", ok, fail, then=then)


@dbus.service.method(MOCK, in_signature="o", out_signature="")
def Lose(_self, path):
    """The connection breaks."""
    device = mockobject.objects[path]
    for name in ("ServicesResolved", "Connected"):
        device.props[DEVICE][name] = dbus.Boolean(False)
        changed(device, DEVICE, {name: dbus.Boolean(False)})


@dbus.service.method(MONITORS, in_signature="o", out_signature="", sender_keyword="sender", async_callbacks=("ok", "fail"))
def RegisterMonitor(self, path, sender=None, ok=None, fail=None):
    def managed(objects):
        for monitor, interfaces in objects.items():
            if "org.bluez.AdvertisementMonitor1" in interfaces:
                monitors.setdefault(str(sender), set()).add(str(monitor))
                bus.call_async(sender, monitor, "org.bluez.AdvertisementMonitor1", "Activate", "", (),
                               lambda *_: None, lambda _: None)
    answer(self, "RegisterMonitor", ok, fail)
    bus.call_async(sender, path, OBJECT_MANAGER_IFACE, "GetManagedObjects", "", (), managed, lambda _: None)


@dbus.service.method(MONITORS, in_signature="o", out_signature="", sender_keyword="sender")
def UnregisterMonitor(_self, _path, sender=None):
    monitors.pop(str(sender), None)


@dbus.service.method(MOCK, in_signature="", out_signature="u")
def Monitors(_self):
    return dbus.UInt32(sum(len(paths) for paths in monitors.values()))
