#include "store/rebuild_source.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/text.h"
#include "store/decompress.h"
#include "store/layer_path.h"

namespace wherry::store {

namespace {

using Token = JsonStream::Token;

// A line has the headers before a file: with long names and attributes up to a megabyte, in base64.
constexpr size_t kMaxLine = size_t{2} << 20;
constexpr uint64_t kFileLine = 1;
constexpr uint64_t kRawLine = 2;

std::unexpected<Error> Bad(std::string_view what) {
  return Fail(Errc::kInvalid, Cat("the tar-split of the layer is malformed: ", what));
}

}  // namespace

struct RebuildSource::Line {
  uint64_t type = 0;
  uint64_t size = 0;
  std::string name;
  std::string payload;
};

RebuildSource::RebuildSource(ByteSource& split, const RebuildParts& parts)
    : lines_(split, kMaxLine), parts_(parts) {}

Result<size_t> RebuildSource::Read(std::span<std::byte> out) {
  while (raw_at_ == raw_.size() && left_ == 0) {
    if (!TRY(NextPart()))
      return 0;
  }
  if (left_ > 0)
    return ReadFile(out);
  size_t count = std::min(out.size(), raw_.size() - raw_at_);
  memcpy(out.data(), raw_.data() + raw_at_, count);
  raw_at_ += count;
  return count;
}

// False at the end.
Result<bool> RebuildSource::NextPart() {
  Token token = TRY(lines_.Next());
  if (token == Token::kDone)
    return false;
  if (token != Token::kObject)
    return Bad("a line is not an object");
  Line line = TRY(ReadLine());
  raw_at_ = 0;
  raw_.clear();
  if (line.type == kRawLine)
    raw_ = TRY_CTX("the tar-split of the layer", Base64Decode(line.payload));
  else if (line.type == kFileLine)
    TRY_CTX(Cat("entry ", QuoteName(line.name)), BeginFile(line));
  else
    return Bad("a line has an unknown type");
  return true;
}

Result<RebuildSource::Line> RebuildSource::ReadLine() {
  Line line;
  while (TRY(lines_.Next()) == Token::kKey) {
    std::string key(lines_.text());
    bool number = key == "type" || key == "size";
    bool text = key == "name" || key == "name_raw" || key == "payload";
    if (!number && !text) {
      TRY(lines_.SkipValue());
      continue;
    }
    Token token = TRY(lines_.Next());
    bool null = token == Token::kLiteral && lines_.text() == "null";
    if (null)
      continue;
    if (token != (number ? Token::kNumber : Token::kString))
      return Bad("a member has a wrong type");
    if (lines_.cut())
      return Bad("a line is too long");
    if (number)
      (key == "type" ? line.type : line.size) = TRY(ParseUint(lines_.text()));
    else if (key == "name")
      line.name = lines_.text();
    else if (key == "payload")
      line.payload = lines_.text();
    else
      line.name = TRY(Base64Decode(lines_.text()));
  }
  return line;
}

Result<> RebuildSource::BeginFile(const Line& line) {
  if (line.size == 0)
    return {};
  const TocFile* file = parts_.toc.Find(line.name, line.size);
  if (file == nullptr)
    return Fail(Errc::kInvalid, "the table of contents does not have it, or more than once");
  auto small = parts_.small.find(file->digest);
  if (small != parts_.small.end() && small->second.size() == file->size) {
    raw_ = small->second;
    return {};
  }
  left_ = file->size;
  if (parts_.objects.Has(file->digest, file->size)) {
    object_ = TRY(parts_.objects.OpenObject(file->digest));
    return {};
  }
  TRY(parts_.blob.Seek({file->offset, file->end}));
  unpacked_ = TRY(Decompress(parts_.blob, Compression::kZstd, parts_.limits));
  return {};
}

Result<size_t> RebuildSource::ReadFile(std::span<std::byte> out) {
  auto wanted = out.first(static_cast<size_t>(std::min<uint64_t>(out.size(), left_)));
  size_t count = 0;
  if (object_) {
    ssize_t got = read(object_.get(), wanted.data(), wanted.size());
    if (got < 0)
      return FailSys("read", "an object");
    count = static_cast<size_t>(got);
  } else {
    count = TRY(unpacked_->Read(wanted));
  }
  if (count == 0)
    return Fail(Errc::kCorrupt, "the content of a file is shorter than the table of contents says");
  left_ -= count;
  if (left_ == 0)
    TRY(EndFile());
  return count;
}

Result<> RebuildSource::EndFile() {
  object_.Reset();
  if (unpacked_ == nullptr)
    return {};
  std::array<std::byte, 1> more;
  if (TRY(unpacked_->Read(more)) != 0)
    return Fail(Errc::kCorrupt, "the content of a file is longer than the table of contents says");
  unpacked_.reset();
  return {};
}

}  // namespace wherry::store
