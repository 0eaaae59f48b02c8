#include "store/toc.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "core/base/json_stream.h"
#include "core/base/text.h"
#include "store/layer_path.h"

namespace wherry::store {

namespace {

using Token = JsonStream::Token;

constexpr uint64_t kVersion = 1;

uint64_t HashName(std::string_view name) {
  constexpr uint64_t kPrime = 0x100000001b3;  // FNV-1a
  while (name.starts_with("./"))
    name.remove_prefix(2);
  uint64_t hash = 0xcbf29ce484222325;
  for (char c : name)
    hash = (hash ^ static_cast<uint8_t>(c)) * kPrime;
  return hash;
}

std::unexpected<Error> Bad(std::string what) {
  return Fail(Errc::kInvalid, Cat("the table of contents is malformed: ", what));
}

// What of an entry is used here; other members are passed over.
struct Entry {
  std::string type;
  std::string name;
  std::string digest;
  std::array<uint64_t, 3> numbers{};  // size, offset, endOffset
};

class Parser {
 public:
  Parser(ByteSource& json, const Limits& limits) : json_(json, kMaxPathBytes), limits_(limits) {}

  Result<std::vector<TocFile>> Run() {
    if (TRY(json_.Next()) != Token::kObject)
      return Bad("it is not an object");
    while (TRY(json_.Next()) == Token::kKey) {
      if (EqualsIgnoreCase(json_.text(), "version"))
        TRY(Version());
      else if (EqualsIgnoreCase(json_.text(), "entries"))
        TRY(Entries());
      else
        TRY(json_.SkipValue());
    }
    if (!versioned_)
      return Bad("it has no version");
    if (TRY(json_.Next()) != Token::kDone)
      return Bad("something follows it");
    return std::move(files_);
  }

 private:
  Result<> Version() {
    uint64_t version = TRY(Number("version"));
    if (version != kVersion)
      return Fail(Errc::kUnsupported,
                  Cat("the table of contents has version ", version, ", which is not supported"));
    versioned_ = true;
    return {};
  }

  Result<uint64_t> Number(std::string_view key) {
    if (TRY(json_.Next()) != Token::kNumber)
      return Bad(Cat(key, " is not a number"));
    return ParseUint(json_.text());
  }

  Result<std::string> Text(std::string_view key) {
    if (TRY(json_.Next()) != Token::kString || json_.cut())
      return Bad(Cat(key, " is not a text, or too long"));
    return std::string(json_.text());
  }

  // Chunks of files have entries too, at least as many as there are files.
  Result<> Entries() {
    if (TRY(json_.Next()) != Token::kArray)
      return Bad("entries is not a list");
    for (;;) {
      Token token = TRY(json_.Next());
      if (token == Token::kEnd)
        return {};
      if (token != Token::kObject)
        return Bad("an entry is not an object");
      Entry entry = TRY(ReadEntry());
      TRY(Take(entry));
    }
  }

  Result<Entry> ReadEntry() {
    Entry entry;
    while (TRY(json_.Next()) == Token::kKey) {
      constexpr std::string_view kNumbers[] = {"size", "offset", "endOffset"};
      std::string key(json_.text());
      bool taken = false;
      for (size_t i = 0; i < entry.numbers.size(); ++i) {
        if (!EqualsIgnoreCase(key, kNumbers[i]))
          continue;
        entry.numbers[i] = TRY(Number(kNumbers[i]));
        taken = true;
      }
      if (EqualsIgnoreCase(key, "type"))
        entry.type = TRY(Text("type"));
      else if (EqualsIgnoreCase(key, "name"))
        entry.name = TRY(Text("name"));
      else if (EqualsIgnoreCase(key, "digest"))
        entry.digest = TRY(Text("digest"));
      else if (!taken)
        TRY(json_.SkipValue());
    }
    return entry;
  }

  Result<> Take(const Entry& entry) {
    auto [size, offset, end] = entry.numbers;
    if (entry.type != "reg" || size == 0)
      return {};
    if (files_.size() == limits_.max_layer_entries) {
      return Fail(Errc::kInvalid, Cat("the table of contents has more than the limit of ",
                                      limits_.max_layer_entries, " files"));
    }
    if (size > limits_.max_layer_bytes)
      return Bad(Cat("file ", QuoteName(entry.name), " is larger than a layer may be"));
    if (end == 0)
      return Fail(Errc::kUnsupported, "a table of contents without ends of files is not supported");
    Digest digest = TRY_CTX(Cat("table of contents: file ", QuoteName(entry.name)),
                            Digest::Parse(entry.digest));
    if (end <= offset)
      return Bad(Cat("file ", QuoteName(entry.name), " ends before it begins"));
    files_.push_back({HashName(entry.name), offset, end, size, digest});
    return {};
  }

  JsonStream json_;
  const Limits& limits_;
  std::vector<TocFile> files_;
  bool versioned_ = false;
};

}  // namespace

Result<Toc> Toc::Parse(ByteSource& json, const Limits& limits, uint64_t payload_end) {
  Toc toc;
  toc.files_ = TRY(Parser(json, limits).Run());
  TRY(toc.Finish(payload_end));
  return toc;
}

Result<> Toc::Finish(uint64_t payload_end) {
  std::sort(files_.begin(), files_.end(),
            [](const TocFile& a, const TocFile& b) { return a.offset < b.offset; });
  uint64_t position = 0;
  for (const TocFile& file : files_) {
    if (file.offset < position)
      return Bad("contents of files overlap");
    position = file.end;
  }
  if (position > payload_end)
    return Bad("content of a file is outside of the blob");
  by_name_.resize(files_.size());
  for (uint32_t i = 0; i < by_name_.size(); ++i)
    by_name_[i] = i;
  std::sort(by_name_.begin(), by_name_.end(),
            [this](uint32_t a, uint32_t b) { return files_[a].name_hash < files_[b].name_hash; });
  return {};
}

const TocFile* Toc::Find(std::string_view name, uint64_t size) const {
  uint64_t hash = HashName(name);
  auto found =
      std::lower_bound(by_name_.begin(), by_name_.end(), hash,
                       [this](uint32_t file, uint64_t h) { return files_[file].name_hash < h; });
  auto is = [&](auto at) { return at != by_name_.end() && files_[*at].name_hash == hash; };
  if (!is(found) || is(found + 1) || files_[*found].size != size)
    return nullptr;
  return &files_[*found];
}

}  // namespace wherry::store
