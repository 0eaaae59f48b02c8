// Filling an empty volume with what the image has at its place. Runs as root before anything of the
// container runs: in its init, or where its files are looked at; links are copied and never
// followed.
#pragma once

#include "core/base/result.h"

namespace wherry::runtime {

// Copies the directory `from` into the directory `to`: content, owners, modes, times, hard links,
// extended attributes, also those of the directory itself, and makes it durable. Sockets are left
// out. kInvalid for trees nested more than 256 deep.
Result<> CopyUp(int from, int to);

}  // namespace wherry::runtime
