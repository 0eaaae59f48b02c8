// Numbers of JSON, correctly rounded in both directions, by whole-number arithmetic. Not by strtod
// and printf: on ARM those of musl work in a 128-bit format that the processor does not have, and
// are a tenth of a small program. Any thread.
#pragma once

#include <string>

// What cJSON calls in the place of strtod where a program is linked so. It knows decimal numbers
// and nothing else.
extern "C" double wherry_strtod(const char* text, char** end);

namespace wherry {

// As printf's %.15g, or %.17g where that would read back as another number. REQUIRES: finite.
std::string FormatNumber(double number);

}  // namespace wherry
