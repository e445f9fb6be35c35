/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An Arduino that says T=…;L=…;relay=… once a second and obeys "relay 1" and "relay 0".
 * It restarts whenever its port is opened, which dtr = false spares it. For haywaind:
 *
 *   links: ( { name = "uno"; plugin = "serial"; port = "/dev/serial/by-id/usb-Arduino…-if00"; baud = 115200;
 *              decode = "keyvalue"; dtr = false; } );
 *   devices: ( { name = "uno"; link = "uno"; points: (
 *                  { name = "temperature"; field = "T"; unit = "°C"; },
 *                  { name = "light"; field = "L"; type = "uint16"; },
 *                  { name = "relay"; type = "bool"; access = "write";
 *                    write_template = "relay {value}\n"; write_ack = "^ok relay"; } ); } );
 */
const int SENSOR = A0, LIGHT = A1, RELAY = 7;

char order[32];
unsigned char used = 0;
unsigned long said = 0;

void setup()
{
	pinMode(RELAY, OUTPUT);
	Serial.begin(115200);
}

void obey(const char *text)
{
	if (strncmp(text, "relay ", 6) != 0) {
		Serial.println(F("not understood"));
		return;
	}
	digitalWrite(RELAY, text[6] == '1' ? HIGH : LOW);
	Serial.println(F("ok relay"));
}

void loop()
{
	while (Serial.available()) {
		char c = Serial.read();

		if (c == '\n') {
			order[used] = 0;
			obey(order);
			used = 0;
		} else if (used < sizeof(order) - 1) {
			order[used++] = c;
		}
	}
	if (millis() - said < 1000)
		return;
	said += 1000;
	Serial.print(F("T="));
	Serial.print(analogRead(SENSOR) * 5.0 / 1024 * 100 - 50, 1); /* a TMP36: 10 mV/°C, 500 mV at 0 °C */
	Serial.print(F(";L="));
	Serial.print(analogRead(LIGHT));
	Serial.print(F(";relay="));
	Serial.println(digitalRead(RELAY));
}
