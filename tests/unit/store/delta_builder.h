// Makes deltas operation by operation for tests, hostile ones included, and the files of an old
// layer out of strings.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "store/bytes.h"
#include "store/tar_delta.h"
#include "tests/unit/store/compress_helper.h"

namespace wherry::store {

class DeltaBuilder {
 public:
  DeltaBuilder& Op(int op, uint64_t size, std::string_view data = {}) {
    ops_.push_back(static_cast<char>(op));
    PutVar(ops_, size);
    return Raw(data);
  }
  DeltaBuilder& Raw(std::string_view bytes) {
    ops_ += bytes;
    return *this;
  }
  DeltaBuilder& Data(std::string_view bytes) { return Op(0, bytes.size(), bytes); }
  DeltaBuilder& Open(std::string_view path) { return Op(1, path.size(), path); }
  DeltaBuilder& Copy(uint64_t size) { return Op(2, size); }
  DeltaBuilder& AddData(std::string_view bytes) { return Op(3, bytes.size(), bytes); }
  DeltaBuilder& Seek(uint64_t position) { return Op(4, position); }

  const std::string& ops() const { return ops_; }
  std::string Done() const { return std::string(kTarDeltaMagic) + Zstd(ops_); }

 private:
  std::string ops_;
};

class MemoryFiles final : public LayerFiles {
 public:
  explicit MemoryFiles(std::map<std::string, std::string> files) : files_(std::move(files)) {}
  Result<LayerFile> Open(std::string_view path) override {
    auto found = files_.find(std::string(path));
    if (found == files_.end())
      return Fail(Errc::kNotFound, "the layer has no such file");
    return LayerFile(found->second);
  }

 private:
  std::map<std::string, std::string> files_;
};

}  // namespace wherry::store
