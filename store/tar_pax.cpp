#include "store/tar_pax.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::store {

namespace {

using Handler = Result<> (*)(std::string_view value, PaxRecords& out);

std::unexpected<Error> BadValue(std::string_view key) {
  return Fail(Errc::kInvalid, Cat("tar extended header: bad value of ", key));
}

template <std::optional<std::string> PaxRecords::* kMember>
Result<> SetText(std::string_view value, PaxRecords& out) {
  if (value.find('\0') != std::string_view::npos) {
    return BadValue("a name: it contains a NUL");
  }
  (out.*kMember).reset();
  if (!value.empty()) {
    out.*kMember = value;
  }
  return {};
}

template <class Number, std::optional<Number> PaxRecords::* kMember>
Result<> SetNumber(std::string_view value, PaxRecords& out) {
  (out.*kMember).reset();
  if (value.empty()) {
    return {};
  }
  // Sizes beyond 2^63 make no sense in either type.
  int64_t number = TRY(ParseInt(value));
  if (number < 0) {
    return BadValue("a number: it is negative");
  }
  out.*kMember = static_cast<Number>(number);
  return {};
}

Result<> SetMtime(std::string_view value, PaxRecords& out) {
  out.mtime.reset();
  if (!value.empty()) {
    out.mtime = TRY(ParsePaxTime(value));
  }
  return {};
}

Result<> AddExtent(SparseExtent extent, PaxRecords& out) {
  if (out.sparse_extents.size() >= kMaxSparseExtents) {
    return Fail(Errc::kInvalid, Cat("sparse file with more than ", kMaxSparseExtents, " pieces"));
  }
  out.sparse_extents.push_back(extent);
  return {};
}

Result<> SetSparseOffset(std::string_view value, PaxRecords& out) {
  if (out.sparse_offset_open) {
    return BadValue("GNU.sparse.offset: two in a row");
  }
  out.sparse_offset_open = true;
  uint64_t offset = TRY(ParseUint(value));
  return AddExtent({offset, 0}, out);
}

Result<> SetSparseSize(std::string_view value, PaxRecords& out) {
  if (!out.sparse_offset_open) {
    return BadValue("GNU.sparse.numbytes: it has no offset");
  }
  out.sparse_offset_open = false;
  out.sparse_extents.back().size = TRY(ParseUint(value));
  return {};
}

Result<> SetSparseMap(std::string_view value, PaxRecords& out) {
  out.sparse_extents.clear();
  while (!value.empty()) {
    size_t comma = value.find(',');
    if (comma == std::string_view::npos) {
      return BadValue("GNU.sparse.map: an odd count of numbers");
    }
    size_t end = std::min(value.find(',', comma + 1), value.size());
    SparseExtent extent;
    extent.offset = TRY(ParseUint(value.substr(0, comma)));
    extent.size = TRY(ParseUint(value.substr(comma + 1, end - comma - 1)));
    TRY(AddExtent(extent, out));
    value.remove_prefix(std::min(end + 1, value.size()));
  }
  return {};
}

struct Key {
  std::string_view name;
  Handler handler;
};

// clang-format off
constexpr Key kKeys[] = {
    {"path",                 &SetText<&PaxRecords::path>},
    {"linkpath",             &SetText<&PaxRecords::link_path>},
    {"size",                 &SetNumber<uint64_t, &PaxRecords::size>},
    {"uid",                  &SetNumber<int64_t, &PaxRecords::uid>},
    {"gid",                  &SetNumber<int64_t, &PaxRecords::gid>},
    {"mtime",                &SetMtime},
    {"GNU.sparse.major",     &SetNumber<uint64_t, &PaxRecords::sparse_major>},
    {"GNU.sparse.name",      &SetText<&PaxRecords::sparse_name>},
    {"GNU.sparse.size",      &SetNumber<uint64_t, &PaxRecords::sparse_size>},
    {"GNU.sparse.realsize",  &SetNumber<uint64_t, &PaxRecords::sparse_size>},
    {"GNU.sparse.numblocks", &SetNumber<uint64_t, &PaxRecords::sparse_count>},
    {"GNU.sparse.offset",    &SetSparseOffset},
    {"GNU.sparse.numbytes",  &SetSparseSize},
    {"GNU.sparse.map",       &SetSparseMap},
};
// clang-format on

constexpr std::string_view kXattrPrefix = "SCHILY.xattr.";

void SetXattr(std::string_view name, std::string_view value, PaxRecords& out) {
  auto known = std::find_if(out.xattrs.begin(), out.xattrs.end(),
                            [&](const TarXattr& xattr) { return xattr.name == name; });
  if (known != out.xattrs.end()) {
    known->value = value;
    return;
  }
  out.xattrs.push_back({std::string(name), std::string(value)});
}

Result<> ApplyRecord(std::string_view key, std::string_view value, PaxRecords& out) {
  if (key.starts_with(kXattrPrefix)) {
    SetXattr(key.substr(kXattrPrefix.size()), value, out);
    return {};
  }
  for (const Key& known : kKeys) {
    if (known.name == key) {
      TRY_CTX(Cat("tar extended header: ", known.name), known.handler(value, out));
    }
  }
  return {};
}

}  // namespace

Result<TarTime> ParsePaxTime(std::string_view text) {
  constexpr int64_t kNanosPerSecond = 1'000'000'000;
  bool negative = text.starts_with('-');
  size_t dot = std::min(text.find('.'), text.size());
  std::string_view fraction = text.substr(std::min(dot + 1, text.size()));
  TarTime time;
  time.seconds = TRY(ParseInt(text.substr(0, dot)));
  int64_t nanos = 0;
  int64_t unit = kNanosPerSecond / 10;
  for (char c : fraction) {
    if (c < '0' || c > '9') {
      return BadValue("a time");
    }
    nanos += (c - '0') * unit;
    unit /= 10;
  }
  if (negative && nanos > 0 && time.seconds > INT64_MIN) {  // nanoseconds count forward
    time.seconds -= 1;
    nanos = kNanosPerSecond - nanos;
  }
  time.nanos = static_cast<uint32_t>(nanos);
  return time;
}

Result<> ParsePax(std::string_view body, PaxRecords& out) {
  while (!body.empty() && body[0] != '\0') {
    size_t space = body.find(' ');
    auto stated = ParseUint(body.substr(0, std::min(space, body.size())));
    size_t length = stated && *stated <= body.size() ? static_cast<size_t>(*stated) : 0;
    // "5 a=\n" is the shortest record.
    if (space == std::string_view::npos || length < space + 4 || body[length - 1] != '\n') {
      return Fail(Errc::kInvalid, "tar extended header: malformed record");
    }
    std::string_view record = body.substr(space + 1, length - space - 2);
    auto pair = SplitFirst(record, '=');
    if (!pair || pair->head.empty()) {
      return Fail(Errc::kInvalid, "tar extended header: record without a key");
    }
    TRY(ApplyRecord(pair->head, pair->tail, out));
    body.remove_prefix(length);
  }
  if (out.sparse_offset_open) {
    return BadValue("GNU.sparse.offset: it has no size");
  }
  return {};
}

}  // namespace wherry::store
