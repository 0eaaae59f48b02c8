// Variables of an instruction replaced by their values, in those that Docker expands: ADD, COPY,
// ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR. FROM is the plan's, ARG the stage's;
// the shell of RUN, CMD, ENTRYPOINT and HEALTHCHECK does its own. Thread-safe, no state.
#pragma once

#include "core/base/result.h"
#include "engine/build/instruction.h"
#include "engine/build/word.h"

namespace wherry::build {

// `escape` is the Dockerfile's. Here-documents of the result are final: chomped and expanded.
Result<Instruction> Expand(Instruction instruction, const Variables& variables, char escape);

}  // namespace wherry::build
