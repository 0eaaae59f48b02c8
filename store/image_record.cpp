#include "store/image_record.h"

#include <optional>

#include "core/base/text.h"

namespace wherry::store {

namespace {

constexpr std::string_view kKind = "wherry-image";
constexpr std::string_view kFormat = "1";

std::unexpected<Error> Damaged(std::string_view why) {
  return Fail(Errc::kCorrupt, std::string(why));
}

struct Header {
  StoredRecord record;
  std::optional<uint64_t> manifest_size;
  std::optional<uint64_t> config_size;
};

Result<> ReadLayer(std::string_view value, Header& header) {
  auto pair = SplitFirst(value, ' ');
  if (!pair) {
    return Damaged("layer without a size");
  }
  LayerInfo layer;
  layer.diff_id = TRY(Digest::Parse(pair->head));
  layer.size_bytes = TRY(ParseUint(pair->tail));
  header.record.image.layers.push_back(layer);
  return {};
}

// Lines that are not known come from newer versions of the same format and are passed over.
Result<> ReadLine(std::string_view key, std::string_view value, Header& header) {
  if (key == "layer") {
    return ReadLayer(value, header);
  }
  if (key == "media-type") {
    header.record.image.media_type = value;
  } else if (key == "created") {
    header.record.image.created_unix_nanos = TRY(ParseInt(value));
  } else if (key == "ref") {
    header.record.refs.emplace_back(value);
  } else if (key == "manifest") {
    header.manifest_size = TRY(ParseUint(value));
  } else if (key == "config") {
    header.config_size = TRY(ParseUint(value));
  }
  return {};
}

Result<Header> ReadHeader(std::string_view& body) {
  Header header;
  for (;;) {
    auto line = SplitFirst(body, '\n');
    if (!line) {
      return Damaged("the header does not end");
    }
    body = line->tail;
    if (line->head.empty()) {
      return header;
    }
    auto pair = SplitFirst(line->head, ' ');
    if (!pair) {
      return Damaged("malformed header line");
    }
    TRY(ReadLine(pair->head, pair->tail, header));
  }
}

Result<StoredRecord> DecodeBody(std::string_view body, const Digest& name) {
  Header header = TRY(ReadHeader(body));
  if (!header.manifest_size || !header.config_size || *header.manifest_size > body.size() ||
      body.size() - *header.manifest_size != *header.config_size) {
    return Damaged("wrong length");
  }
  StoredRecord record = std::move(header.record);
  Image& image = record.image;
  auto manifest_size = static_cast<size_t>(*header.manifest_size);
  image.manifest = body.substr(0, manifest_size);
  image.config = body.substr(manifest_size);
  image.manifest_digest = Digest::Of(image.manifest);
  image.config_digest = Digest::Of(image.config);
  if (image.manifest_digest != name) {
    return Damaged("the manifest does not match the name of the record");
  }
  for (const LayerInfo& layer : image.layers) {
    image.size_bytes += layer.size_bytes;
  }
  return record;
}

}  // namespace

std::string WithChecksum(std::string_view what, std::string_view body) {
  return Cat(what, " ", kFormat, " ", Digest::Of(body).string(), "\n", body);
}

Result<std::string_view> CheckChecksum(std::string_view what, std::string_view content) {
  auto line = SplitFirst(content, '\n');
  if (!line || line->head != Cat(what, " ", kFormat, " ", Digest::Of(line->tail).string())) {
    return Damaged(content.empty() ? "it is empty" : "its checksum is wrong");
  }
  return line->tail;
}

std::string EncodeRecord(const StoredRecord& record) {
  const Image& image = record.image;
  std::string body;
  body.reserve(image.manifest.size() + image.config.size() + 4096);
  Append(body, "media-type ", image.media_type, "\ncreated ", image.created_unix_nanos, "\n");
  for (const LayerInfo& layer : image.layers) {
    Append(body, "layer ", layer.diff_id.string(), " ", layer.size_bytes, "\n");
  }
  for (const std::string& ref : record.refs) {
    Append(body, "ref ", ref, "\n");
  }
  Append(body, "manifest ", image.manifest.size(), "\nconfig ", image.config.size(), "\n\n",
         image.manifest, image.config);
  return WithChecksum(kKind, body);
}

Result<StoredRecord> DecodeRecord(std::string_view content, const Digest& name) {
  std::string_view body = TRY(CheckChecksum(kKind, content));
  auto record = DecodeBody(body, name);
  if (!record) {
    return std::unexpected(std::move(record).error().WithCode(Errc::kCorrupt));
  }
  return record;
}

}  // namespace wherry::store
