// Errors of wherry: Result<T> = std::expected<T, Error>, and the macros that pass them upward.
//
// An Error has a code from a closed set, an optional errno and a message that reads outermost
// first: "start web: mount rootfs: openat(/var/lib/x): No such file or directory". Context is added
// once per layer with TRY_CTX or Error::Wrap. Libraries return errors and never log them; the API,
// the CLI and the daemon report them once.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace wherry {

// What went wrong, for programs. engine/api maps it to an HTTP status, cli to an exit code, each by
// one table.
enum class Errc : uint8_t {
  kInvalid,       // the request, the file or the option is malformed
  kNotFound,      // the named object does not exist
  kExists,        // the name is taken
  kConflict,      // the object's state forbids the operation
  kNotModified,   // the object already is in the wanted state
  kBusy,          // in use by another operation; may be tried again
  kDenied,        // permission or authentication refused
  kUnauthorized,  // credentials are missing or wrong
  kCorrupt,       // content does not match its digest or checksum
  kUnsupported,   // valid, but this build or this kernel cannot do it
  kUnavailable,   // a remote side cannot be reached or refuses for now
  kTimeout,       // took longer than allowed
  kNoSpace,       // disk, quota or memory limit
  kCancelled,     // given up on request
  kIo,            // reading or writing failed
  kInternal,      // a bug or a broken invariant
};

// "not found", "invalid", ...: for logs and JSON.
std::string_view ErrcName(Errc code);

// Maps an errno to the code that fits it. The only such table.
Errc ErrcFromErrno(int error_number);

class [[nodiscard]] Error {
 public:
  Error(Errc code, std::string message);

  // An error of the system call `call` on `object`: "openat(/var/lib/x): No such file or
  // directory".
  static Error Sys(int error_number, std::string_view call, std::string_view object = {});

  Error(Error&&) noexcept = default;
  Error& operator=(Error&&) noexcept = default;
  Error(const Error&) = delete;
  Error& operator=(const Error&) = delete;
  ~Error() = default;

  Error Clone() const;

  Errc code() const { return rep_->code; }
  int error_number() const { return rep_->error_number; }  // 0: did not come from a system call
  const std::string& message() const { return rep_->message; }

  // Prefixes the message: "context: message". The code stays.
  Error Wrap(std::string_view context) &&;
  // Appends a failed clean-up: "message; then: other".
  Error FollowedBy(const Error& other) &&;
  // The same text under another code.
  Error WithCode(Errc code) &&;

 private:
  struct Rep {
    Errc code;
    int error_number;
    std::string message;
  };
  std::unique_ptr<Rep> rep_;
};

template <class T = void>
using Result = std::expected<T, Error>;

// Failure as a return value: `return Fail(Errc::kInvalid, Cat("tag ", tag, " is too long"));`
inline std::unexpected<Error> Fail(Errc code, std::string message) {
  return std::unexpected(Error(code, std::move(message)));
}
// "No such file or directory"; "errno 4711" for a number without a text.
std::string ErrnoText(int error_number);

// Failure of a system call, errno taken now: `return FailSys("openat", path);`
std::unexpected<Error> FailSys(std::string_view call, std::string_view object = {});

}  // namespace wherry

// TRY only as a whole statement or a whole initialiser, never inside a braced list: g++ 12 leaks
// there.
#define TRY(...)                                             \
  __extension__({                                            \
    auto try_result = (__VA_ARGS__);                         \
    if (!try_result) [[unlikely]]                            \
      return std::unexpected(std::move(try_result).error()); \
    *std::move(try_result);                                  \
  })

// As TRY, with one layer of context in front of the message.
#define TRY_CTX(context, ...)                                              \
  __extension__({                                                          \
    auto try_result = (__VA_ARGS__);                                       \
    if (!try_result) [[unlikely]]                                          \
      return std::unexpected(std::move(try_result).error().Wrap(context)); \
    *std::move(try_result);                                                \
  })
