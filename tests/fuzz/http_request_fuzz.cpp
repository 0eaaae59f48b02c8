// HTTP requests: bytes from a client, in two pieces. Whatever they are, reading goes on to complete
// messages or an error, takes no more than it was given, and does not depend on where the pieces
// were cut.
#include <cstdint>
#include <cstdlib>

#include "core/base/text.h"
#include "net/http/request_reader.h"

namespace {

using wherry::http::RequestReader;

struct Outcome {
  RequestReader::Step step = RequestReader::Step::kMore;
  std::string text;
};

Outcome Read(std::string_view first, std::string_view second) {
  RequestReader reader(8192);
  Outcome out;
  for (std::string_view piece : {first, second}) {
    do {
      auto [step, used] = reader.Feed(piece);
      if (used > piece.size()) {
        abort();
      }
      piece.remove_prefix(used);
      out.text += reader.TakeBody();
      out.step = step;
      if (step == RequestReader::Step::kComplete) {
        out.text += wherry::Cat(reader.request().method, " ", reader.request().path);
      }
      if (step == RequestReader::Step::kComplete || step == RequestReader::Step::kError) {
        return out;
      }
    } while (out.step == RequestReader::Step::kHead);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  Outcome whole = Read(text, {});
  Outcome halves = Read(text.substr(0, size / 2), text.substr(size / 2));
  if (whole.step != halves.step ||
      (whole.step == RequestReader::Step::kComplete && whole.text != halves.text)) {
    abort();
  }
  return 0;
}
