/* SPDX-License-Identifier: Apache-2.0 */
/* As much of an Arduino as docs/examples/arduino needs, its serial port being standard input and output. C++. */
#ifndef ARDUINO_PEER_H
#define ARDUINO_PEER_H

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <poll.h>
#include <unistd.h>

#define F(text) (text)
enum { OUTPUT, LOW, HIGH, A0, A1, N_PINS = 32 };

static int pins[N_PINS];

static inline void pinMode(int, int)
{
}
static inline void digitalWrite(int pin, int level)
{
	pins[pin] = level == HIGH;
}
static inline int digitalRead(int pin)
{
	return pins[pin];
}
static inline int analogRead(int pin)
{
	return pin == A0 ? 146 : 512;
}
static inline unsigned long millis()
{
	static time_t began;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (began == 0)
		began = now.tv_sec;
	return (unsigned long)((now.tv_sec - began) * 1000 + now.tv_nsec / 1000000);
}

static struct {
	void begin(unsigned long)
	{
		setvbuf(stdout, nullptr, _IONBF, 0);
	}
	int available()
	{
		struct pollfd in = {STDIN_FILENO, POLLIN, 0};

		return poll(&in, 1, 5) > 0;
	}
	char read()
	{
		char c;

		if (::read(STDIN_FILENO, &c, 1) != 1)
			exit(0);
		return c;
	}
	void print(const char *text)
	{
		fputs(text, stdout);
	}
	void print(int number)
	{
		printf("%d", number);
	}
	void print(double number, int decimals)
	{
		printf("%.*f", decimals, number);
	}
	template <typename T> void println(T what)
	{
		print(what);
		print("\r\n");
	}
} Serial;

void setup();
void loop();

int main()
{
	setup();
	for (;;)
		loop();
}

#endif
