#include "core/base/text.h"
#include "engine/compose/service.h"

namespace wherry::compose {

namespace {

constexpr KeyRow<Build> kKeys[] = {
    {"args", [](const Value& v, Build& out) { out.args = v.NameValues(); }},
    {"context", [](const Value& v, Build& out) { out.context = v.Text(); }},
    {"dockerfile", [](const Value& v, Build& out) { out.dockerfile = v.Text(); }},
    {"dockerfile_inline", [](const Value& v, Build& out) { out.inline_text = v.Text(); }},
    {"labels", [](const Value& v, Build& out) { out.labels = v.Strings(); }},
    {"network", [](const Value& v, Build& out) { out.network = v.Text(); }},
    {"no_cache", [](const Value& v, Build& out) { out.no_cache = v.Flag(); }},
    {"pull", [](const Value& v, Build& out) { out.pull = v.Flag(); }},
    {"tags", [](const Value& v, Build& out) { out.tags = v.Texts(); }},
    {"target", [](const Value& v, Build& out) { out.target = v.Text(); }},
};

}  // namespace

void ReadBuild(const Value& value, const Surroundings& around, Service& service) {
  Build build;
  if (value.node().IsScalar()) {
    build.context = value.Text();
  } else {
    ReadKeys<Build>(value, kKeys, build);
  }
  if (build.context.find("://") != std::string::npos || build.context.starts_with("git@"))
    value.Bad("has a context that is not a directory, which is not supported by wherry");
  if (!build.dockerfile.empty() && !build.inline_text.empty())
    value.Bad("has dockerfile and dockerfile_inline, which exclude each other");
  build.context = ResolvePath(around.directory, around.home,
                              build.context.empty() ? std::string_view(".") : build.context);
  service.build = std::move(build);
}

}  // namespace wherry::compose
