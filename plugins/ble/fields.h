/* SPDX-License-Identifier: Apache-2.0 */
/* What decoders can say: every value has one name, one unit and one type, whatever format it came in. Pure. */
#ifndef BLE_FIELDS_H
#define BLE_FIELDS_H

#include <haywain/reading.h>

/* name in the code, name of the point, unit, type */
#define FIELDS(X)                                                                                                      \
	X(TEMPERATURE, "temperature", "°C", HAY_FLOAT64)                                                               \
	X(HUMIDITY, "humidity", "%", HAY_FLOAT64)                                                                      \
	X(PRESSURE, "pressure", "hPa", HAY_FLOAT64)                                                                    \
	X(BATTERY, "battery", "%", HAY_UINT16)                                                                         \
	X(VOLTAGE, "voltage", "V", HAY_FLOAT64)                                                                        \
	X(BATTERY_VOLTAGE, "battery_voltage", "V", HAY_FLOAT64)                                                        \
	X(ILLUMINANCE, "illuminance", "lx", HAY_FLOAT64)                                                               \
	X(MASS_KG, "mass", "kg", HAY_FLOAT64)                                                                          \
	X(MASS_LB, "mass_lb", "lb", HAY_FLOAT64)                                                                       \
	X(DEW_POINT, "dew_point", "°C", HAY_FLOAT64)                                                                   \
	X(COUNT, "count", NULL, HAY_INT64)                                                                             \
	X(ENERGY, "energy", "kWh", HAY_FLOAT64)                                                                        \
	X(POWER, "power", "W", HAY_FLOAT64)                                                                            \
	X(PM2_5, "pm2_5", "µg/m³", HAY_FLOAT64)                                                                        \
	X(PM10, "pm10", "µg/m³", HAY_FLOAT64)                                                                          \
	X(CO2, "co2", "ppm", HAY_UINT16)                                                                               \
	X(TVOC, "tvoc", "µg/m³", HAY_UINT16)                                                                           \
	X(MOISTURE, "moisture", "%", HAY_FLOAT64)                                                                      \
	X(ROTATION, "rotation", "°", HAY_FLOAT64)                                                                      \
	X(DISTANCE_MM, "distance_mm", "mm", HAY_FLOAT64)                                                               \
	X(DISTANCE, "distance", "m", HAY_FLOAT64)                                                                      \
	X(DURATION, "duration", "s", HAY_FLOAT64)                                                                      \
	X(CURRENT, "current", "A", HAY_FLOAT64)                                                                        \
	X(SPEED, "speed", "m/s", HAY_FLOAT64)                                                                          \
	X(UV_INDEX, "uv_index", NULL, HAY_FLOAT64)                                                                     \
	X(VOLUME, "volume", "L", HAY_FLOAT64)                                                                          \
	X(VOLUME_ML, "volume_ml", "mL", HAY_FLOAT64)                                                                   \
	X(VOLUME_FLOW, "volume_flow", "m³/h", HAY_FLOAT64)                                                             \
	X(GAS, "gas", "m³", HAY_FLOAT64)                                                                               \
	X(WATER, "water", "L", HAY_FLOAT64)                                                                            \
	X(TIMESTAMP, "timestamp", "s", HAY_UINT32)                                                                     \
	X(ACCELERATION, "acceleration", "m/s²", HAY_FLOAT64)                                                           \
	X(GYROSCOPE, "gyroscope", "°/s", HAY_FLOAT64)                                                                  \
	X(TEXT, "text", NULL, HAY_STRING)                                                                              \
	X(RAW, "raw", NULL, HAY_BYTES)                                                                                 \
	X(VOLUME_STORAGE, "volume_storage", "L", HAY_FLOAT64)                                                          \
	X(CONDUCTIVITY, "conductivity", "µS/cm", HAY_FLOAT64)                                                          \
	X(DIRECTION, "direction", "°", HAY_FLOAT64)                                                                    \
	X(PRECIPITATION, "precipitation", "mm", HAY_FLOAT64)                                                           \
	X(CHANNEL, "channel", NULL, HAY_UINT16)                                                                        \
	X(ROTATIONAL_SPEED, "rotational_speed", "1/min", HAY_FLOAT64)                                                  \
	X(LIGHT_LEVEL, "light_level", NULL, HAY_UINT16)                                                                \
	X(GENERIC, "generic", NULL, HAY_BOOL)                                                                          \
	X(POWER_ON, "power_on", NULL, HAY_BOOL)                                                                        \
	X(OPENING, "opening", NULL, HAY_BOOL)                                                                          \
	X(BATTERY_LOW, "battery_low", NULL, HAY_BOOL)                                                                  \
	X(BATTERY_CHARGING, "battery_charging", NULL, HAY_BOOL)                                                        \
	X(CARBON_MONOXIDE, "carbon_monoxide", NULL, HAY_BOOL)                                                          \
	X(COLD, "cold", NULL, HAY_BOOL)                                                                                \
	X(CONNECTIVITY, "connectivity", NULL, HAY_BOOL)                                                                \
	X(DOOR, "door", NULL, HAY_BOOL)                                                                                \
	X(GARAGE_DOOR, "garage_door", NULL, HAY_BOOL)                                                                  \
	X(GAS_DETECTED, "gas_detected", NULL, HAY_BOOL)                                                                \
	X(HEAT, "heat", NULL, HAY_BOOL)                                                                                \
	X(LIGHT, "light", NULL, HAY_BOOL)                                                                              \
	X(LOCK, "lock", NULL, HAY_BOOL)                                                                                \
	X(MOISTURE_DETECTED, "moisture_detected", NULL, HAY_BOOL)                                                      \
	X(MOTION, "motion", NULL, HAY_BOOL)                                                                            \
	X(MOVING, "moving", NULL, HAY_BOOL)                                                                            \
	X(OCCUPANCY, "occupancy", NULL, HAY_BOOL)                                                                      \
	X(PLUG, "plug", NULL, HAY_BOOL)                                                                                \
	X(PRESENCE, "presence", NULL, HAY_BOOL)                                                                        \
	X(PROBLEM, "problem", NULL, HAY_BOOL)                                                                          \
	X(RUNNING, "running", NULL, HAY_BOOL)                                                                          \
	X(SAFETY, "safety", NULL, HAY_BOOL)                                                                            \
	X(SMOKE, "smoke", NULL, HAY_BOOL)                                                                              \
	X(SOUND, "sound", NULL, HAY_BOOL)                                                                              \
	X(TAMPER, "tamper", NULL, HAY_BOOL)                                                                            \
	X(VIBRATION, "vibration", NULL, HAY_BOOL)                                                                      \
	X(WINDOW, "window", NULL, HAY_BOOL)                                                                            \
	X(BUTTON, "button", NULL, HAY_STRING)                                                                          \
	X(DIMMER, "dimmer", NULL, HAY_STRING)                                                                          \
	X(DIMMER_STEPS, "dimmer_steps", NULL, HAY_UINT16)                                                              \
	X(DEVICE_TYPE, "device_type", NULL, HAY_UINT16)                                                                \
	X(FIRMWARE, "firmware", NULL, HAY_STRING)                                                                      \
	X(ACCELERATION_X, "acceleration_x", "g", HAY_FLOAT64)                                                          \
	X(ACCELERATION_Y, "acceleration_y", "g", HAY_FLOAT64)                                                          \
	X(ACCELERATION_Z, "acceleration_z", "g", HAY_FLOAT64)                                                          \
	X(TX_POWER, "tx_power", "dBm", HAY_INT16)                                                                      \
	X(MOVEMENTS, "movements", NULL, HAY_UINT16)                                                                    \
	X(SEQUENCE, "sequence", NULL, HAY_UINT32)                                                                      \
	X(VOC_INDEX, "voc_index", NULL, HAY_UINT16)                                                                    \
	X(NOX_INDEX, "nox_index", NULL, HAY_UINT16)                                                                    \
	X(CALIBRATING, "calibrating", NULL, HAY_BOOL)                                                                  \
	X(FORMALDEHYDE, "formaldehyde", "mg/m³", HAY_FLOAT64)                                                          \
	X(CONSUMABLE, "consumable", "%", HAY_UINT16)                                                                   \
	X(IDLE_TIME, "idle_time", "s", HAY_UINT32)                                                                     \
	X(ARMED, "armed", NULL, HAY_BOOL)                                                                              \
	X(DOOR_LEFT_OPEN, "door_left_open", NULL, HAY_BOOL)                                                            \
	X(REED_SWITCH, "reed_switch", NULL, HAY_BOOL)                                                                  \
	X(TRIGGER, "trigger", NULL, HAY_BOOL)                                                                          \
	X(ADVERTISEMENTS, "advertisements", NULL, HAY_UINT32)                                                          \
	X(UPTIME, "uptime", "s", HAY_FLOAT64)                                                                          \
	X(NAMESPACE, "namespace", NULL, HAY_STRING)                                                                    \
	X(INSTANCE, "instance", NULL, HAY_STRING)                                                                      \
	X(UUID, "uuid", NULL, HAY_STRING)                                                                              \
	X(MAJOR, "major", NULL, HAY_UINT16)                                                                            \
	X(MINOR, "minor", NULL, HAY_UINT16)                                                                            \
	X(TEMPERATURE_ALARM, "temperature_alarm", "°C", HAY_FLOAT64)                                                   \
	X(EXTERNAL_PROBE, "external_probe", NULL, HAY_BOOL)                                                            \
	X(ELEVATION, "elevation", "m", HAY_FLOAT64)                                                                    \
	X(HEART_RATE, "heart_rate", "1/min", HAY_UINT16)                                                               \
	X(IRRADIANCE, "irradiance", "W/m²", HAY_FLOAT64)                                                               \
	X(WIND_SPEED, "wind_speed", "m/s", HAY_FLOAT64)                                                                \
	X(WIND_DIRECTION, "wind_direction", "°", HAY_FLOAT64)                                                          \
	X(RAINFALL, "rainfall", "mm", HAY_FLOAT64)                                                                     \
	X(MANUFACTURER_DATA, "manufacturer_data", NULL, HAY_BYTES)                                                     \
	X(SERVICE_DATA, "service_data", NULL, HAY_BYTES)                                                               \
	X(RSSI, "rssi", "dBm", HAY_INT16)

enum ble_field {
#define X(id, name, unit, type) FIELD_##id,
	FIELDS(X)
#undef X
		N_FIELDS
};

struct field_info {
	const char *name;
	const char *unit; /* NULL: none */
	enum hay_type type;
};

extern const struct field_info field_infos[N_FIELDS];

/* "temperature" or "temperature_2": the field and which of several (from 1). -ENOENT. */
int field_find(const char *name, enum ble_field *ret_field, unsigned *ret_number);

#endif
