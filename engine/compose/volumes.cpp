#include "engine/compose/volumes.h"

#include <algorithm>

#include "core/base/text.h"

namespace wherry::compose {

namespace {

bool IsPath(std::string_view source) {
  return source.starts_with('/') || source.starts_with('.') || source.starts_with('~');
}

// "/a/./b/../c" -> "/a/c".
std::string Clean(std::string_view path) {
  std::vector<std::string_view> parts;
  for (std::string_view part : Split(path, '/')) {
    if (part == "..") {
      if (!parts.empty())
        parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  std::string clean;
  for (std::string_view part : parts)
    Append(clean, "/", part);
  return clean.empty() ? "/" : clean;
}

struct LongMount {
  Mount mount;
  std::string type;
};

constexpr KeyRow<LongMount> kBindKeys[] = {
    {"create_host_path", [](const Value& v, LongMount& out) { out.mount.must_exist = !v.Flag(); }},
    {"propagation", [](const Value& v, LongMount& out) { out.mount.propagation = v.Text(); }},
};
constexpr KeyRow<LongMount> kVolumeKeys[] = {
    {"nocopy", [](const Value& v, LongMount& out) { out.mount.no_copy = v.Flag(); }},
};
constexpr KeyRow<LongMount> kTmpfsKeys[] = {
    {"mode",
     [](const Value& v, LongMount& out) {
       auto mode = ParseOctal(v.Text());
       if (!mode)
         v.Bad("must be an octal mode such as 1777");
       out.mount.tmpfs_mode = mode.value_or(0);
     }},
    {"size", [](const Value& v, LongMount& out) { out.mount.tmpfs_size = v.Size(); }},
};
constexpr KeyRow<LongMount> kLongKeys[] = {
    {"bind", [](const Value& v, LongMount& out) { ReadKeys<LongMount>(v, kBindKeys, out); }},
    {"read_only", [](const Value& v, LongMount& out) { out.mount.read_only = v.Flag(); }},
    {"source", [](const Value& v, LongMount& out) { out.mount.source = v.Text(); }},
    {"target", [](const Value& v, LongMount& out) { out.mount.target = v.Text(); }},
    {"tmpfs", [](const Value& v, LongMount& out) { ReadKeys<LongMount>(v, kTmpfsKeys, out); }},
    {"type", [](const Value& v, LongMount& out) { out.type = v.Text(); }},
    {"volume", [](const Value& v, LongMount& out) { ReadKeys<LongMount>(v, kVolumeKeys, out); }},
};

struct TypeRow {
  std::string_view name;
  Mount::Type type;
};
constexpr TypeRow kTypes[] = {
    {"bind", Mount::Type::kBind}, {"tmpfs", Mount::Type::kTmpfs}, {"volume", Mount::Type::kVolume}};

// [SOURCE:]TARGET[:MODE]
Mount ReadShort(const Value& value) {
  Mount mount;
  std::string text = value.Text();
  auto parts = Split(text, ':');
  if (parts.size() > 3 || text.empty()) {
    value.Bad("is not a mount: it must be [SOURCE:]TARGET[:MODE]");
    return mount;
  }
  mount.target = parts.size() == 1 ? parts[0] : parts[1];
  if (parts.size() > 1) {
    mount.source = parts[0];
    if (mount.source.empty())
      value.Bad("has an empty source");
  }
  mount.mode = parts.size() == 3 ? parts[2] : "rw";
  for (std::string_view option : Split(mount.mode, ','))
    mount.read_only |= option == "ro";
  mount.type = IsPath(mount.source) ? Mount::Type::kBind : Mount::Type::kVolume;
  return mount;
}

Mount ReadLong(const Value& value) {
  LongMount read;
  ReadKeys<LongMount>(value, kLongKeys, read);
  auto type = std::ranges::find(kTypes, read.type, &TypeRow::name);
  if (type == std::end(kTypes)) {
    value.Bad(Cat("has the type \"", read.type,
                  "\", which is not supported by wherry; there are bind, volume, tmpfs"));
    return read.mount;
  }
  read.mount.type = type->type;
  if (read.mount.type == Mount::Type::kBind && read.mount.source.empty())
    value.Bad("needs a source");
  return read.mount;
}

}  // namespace

std::string TargetOf(const Node& entry) {
  if (entry.IsMap()) {
    const Node* target = entry.Find("target");
    return target == nullptr ? std::string() : target->text;
  }
  auto parts = Split(entry.text, ':');
  return std::string(parts.size() > 1 ? parts[1] : parts[0]);
}

std::string ResolvePath(std::string_view directory, std::string_view home, std::string_view path) {
  if (path.empty())
    return {};
  if (path == "~" || path.starts_with("~/"))
    return Clean(Cat(home, "/", path.substr(1)));
  return Clean(path[0] == '/' ? std::string(path) : Cat(directory, "/", path));
}

void ReadVolumes(const Value& value, const Surroundings& around, Service& service) {
  if (!value.ExpectList())
    return;
  for (size_t i = 0; i < value.size(); ++i) {
    Value element = value.Element(i);
    Mount mount = element.IsMap() ? ReadLong(element) : ReadShort(element);
    if (!mount.target.starts_with('/')) {
      element.Bad("needs an absolute path in the container");
      continue;
    }
    if (mount.type == Mount::Type::kBind)
      mount.source = ResolvePath(around.directory, around.home, mount.source);
    service.mounts.push_back(std::move(mount));
  }
}

}  // namespace wherry::compose
