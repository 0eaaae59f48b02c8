#include "core/base/result.h"

#include <cerrno>
#include <cstring>

#include "core/base/text.h"

namespace wherry {

namespace {

struct ErrnoRow {
  int error_number;
  Errc code;
};

constexpr ErrnoRow kErrnoTable[] = {
    {ENOENT, Errc::kNotFound},
    {ENOTDIR, Errc::kNotFound},
    {ESRCH, Errc::kNotFound},
    {EEXIST, Errc::kExists},
    {ENOTEMPTY, Errc::kExists},
    {EBUSY, Errc::kBusy},
    {EAGAIN, Errc::kBusy},
    {ETXTBSY, Errc::kBusy},
    {EPERM, Errc::kDenied},
    {EACCES, Errc::kDenied},
    {EROFS, Errc::kDenied},
    {EINVAL, Errc::kInvalid},
    {ENAMETOOLONG, Errc::kInvalid},
    {ELOOP, Errc::kInvalid},
    {ENOSYS, Errc::kUnsupported},
    {EOPNOTSUPP, Errc::kUnsupported},
    {ENODEV, Errc::kUnsupported},
    {ETIMEDOUT, Errc::kTimeout},
    {ENOSPC, Errc::kNoSpace},
    {EDQUOT, Errc::kNoSpace},
    {ENOMEM, Errc::kNoSpace},
    {ECONNREFUSED, Errc::kUnavailable},
    {ECONNRESET, Errc::kUnavailable},
    {EPIPE, Errc::kUnavailable},
    {EHOSTUNREACH, Errc::kUnavailable},
    {ENETUNREACH, Errc::kUnavailable},
    {ECANCELED, Errc::kCancelled},
    {EBADMSG, Errc::kCorrupt},
    {EUCLEAN, Errc::kCorrupt},
};

constexpr std::string_view kErrcNames[] = {
    "invalid",  "not found",    "exists",  "conflict",    "not modified", "busy",
    "denied",   "unauthorized", "corrupt", "unsupported", "unavailable",  "timeout",
    "no space", "cancelled",    "io",      "internal",
};

}  // namespace

std::string_view ErrcName(Errc code) {
  return kErrcNames[static_cast<size_t>(code)];
}

Errc ErrcFromErrno(int error_number) {
  for (const ErrnoRow& row : kErrnoTable) {
    if (row.error_number == error_number)
      return row.code;
  }
  return Errc::kIo;
}

Error::Error(Errc code, std::string message)
    : rep_(std::make_unique<Rep>(Rep{code, 0, std::move(message)})) {}

std::string ErrnoText(int error_number) {
#ifdef __GLIBC__
  const char* text = strerrordesc_np(error_number);
#else
  const char* text = strerror(error_number);
  if (text == strerror(0))  // musl's only text for a number it does not know
    text = nullptr;
#endif
  return text != nullptr ? text : Cat("errno ", error_number);
}

Error Error::Sys(int error_number, std::string_view call, std::string_view object) {
  std::string message(call);
  if (!object.empty())
    message = Cat(message, "(", object, ")");
  message = Cat(message, ": ", ErrnoText(error_number));
  Error error(ErrcFromErrno(error_number), std::move(message));
  error.rep_->error_number = error_number;
  return error;
}

Error Error::Clone() const {
  Error copy(rep_->code, rep_->message);
  copy.rep_->error_number = rep_->error_number;
  return copy;
}

Error Error::Wrap(std::string_view context) && {
  rep_->message = Cat(context, ": ", rep_->message);
  return std::move(*this);
}

Error Error::FollowedBy(const Error& other) && {
  rep_->message = Cat(rep_->message, "; then: ", other.message());
  return std::move(*this);
}

Error Error::WithCode(Errc code) && {
  rep_->code = code;
  return std::move(*this);
}

std::unexpected<Error> FailSys(std::string_view call, std::string_view object) {
  return std::unexpected(Error::Sys(errno, call, object));
}

}  // namespace wherry
