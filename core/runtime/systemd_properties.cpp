#include "core/runtime/systemd_properties.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "core/base/text.h"

namespace wherry::runtime {

namespace {

constexpr uint64_t kInfinity = UINT64_MAX;
constexpr uint64_t kMicroseconds = 1000000;
constexpr uint64_t kDefaultPeriod = 100000;
constexpr uint64_t kPercent = kMicroseconds / 100;
constexpr uint64_t kMostCpus = 8192;
constexpr std::string_view kAnnotation = "org.systemd.property.";

// How the text of a cgroup's file becomes the value of a property.
enum class Form : uint8_t {
  kNumber,     // "max", 12, 12M
  kTasks,      // the same, but 0 is not taken: one process cannot make another either
  kWeight,     // "default 12" or 12
  kBfqWeight,  // the same, of 1 to 1000: as systemd computes it from 1 to 10000
  kIdle,       // 1: a weight of 0
  kQuota,      // "max 100000"
  kSet,        // "0-2,5"
};

struct LimitRow {
  std::string_view file;
  std::string_view property;
  Form form;
};
// clang-format off
constexpr LimitRow kLimits[] = {
    {"memory.max",       "MemoryMax",          Form::kNumber},
    {"memory.high",      "MemoryHigh",         Form::kNumber},
    {"memory.low",       "MemoryLow",          Form::kNumber},
    {"memory.min",       "MemoryMin",          Form::kNumber},
    {"memory.swap.max",  "MemorySwapMax",      Form::kNumber},
    {"memory.zswap.max", "MemoryZSwapMax",     Form::kNumber},
    {"pids.max",         "TasksMax",           Form::kTasks},
    {"cpu.weight",       "CPUWeight",          Form::kWeight},
    {"cpu.idle",         "CPUWeight",          Form::kIdle},
    {"cpu.max",          "CPUQuotaPerSecUSec", Form::kQuota},
    {"cpuset.cpus",      "AllowedCPUs",        Form::kSet},
    {"cpuset.mems",      "AllowedMemoryNodes", Form::kSet},
    {"io.weight",        "IOWeight",           Form::kWeight},
    {"io.bfq.weight",    "IOWeight",           Form::kBfqWeight},
};
// clang-format on

Result<uint64_t> NumberOrMax(std::string_view text) {
  if (text == "max")
    return kInfinity;
  return ParseSize(text);
}

// The inverse of what systemd does: 1 to 100 stay, 100 to 1000 are 100 to 10000.
uint64_t FromBfqWeight(uint64_t weight) {
  return weight <= 100 ? weight : 100 + (weight - 100) * 9900 / 900;
}

// Of "0-2,5" one bit each, the lowest first.
Result<std::string> Bits(std::string_view list) {
  std::string bits;
  for (std::string_view part : Split(list, ',')) {
    std::optional<Pair> range = SplitFirst(part, '-');
    uint64_t first = TRY(ParseUint(range ? range->head : part));
    uint64_t last = TRY(ParseUint(range ? range->tail : part));
    if (first > last || last >= kMostCpus)
      return Fail(Errc::kInvalid, Cat(part, " is no range of numbers up to ", kMostCpus - 1));
    bits.resize(std::max<size_t>(bits.size(), static_cast<size_t>(last) / 8 + 1));
    for (auto i = static_cast<size_t>(first); i <= last; ++i)
      bits[i / 8] = static_cast<char>(bits[i / 8] | 1 << i % 8);
  }
  return bits;
}

class LimitList {
 public:
  Result<> Add(const LimitRow& row, std::string_view text) {
    switch (row.form) {
      case Form::kNumber:
        return Number(row, text, 0);
      case Form::kTasks:
        return Number(row, text, 1);
      case Form::kWeight:
      case Form::kBfqWeight:
        return Weight(row, text);
      case Form::kIdle:
        if (text == "1")
          Set(row.property, 0);
        return {};
      case Form::kQuota:
        return Quota(row, text);
      case Form::kSet:
        return Bitmap(row, text);
    }
    return {};
  }

  std::vector<UnitProperty> Take() { return std::move(list_); }

 private:
  // The last value counts, as with the files.
  void Set(UnitProperty property) {
    auto there = std::ranges::find(list_, property.name, &UnitProperty::name);
    if (there == list_.end())
      list_.push_back(std::move(property));
    else
      *there = std::move(property);
  }

  void Set(std::string_view name, uint64_t value) { Set({std::string(name), "t", value, {}}); }

  Result<> Number(const LimitRow& row, std::string_view text, uint64_t least) {
    uint64_t value = TRY(NumberOrMax(text));
    Set(row.property, std::max(value, least));
    return {};
  }

  Result<> Bitmap(const LimitRow& row, std::string_view text) {
    std::string bits = TRY(Bits(text));
    Set({std::string(row.property), "ay", 0, {std::move(bits)}});
    return {};
  }

  // Those of single devices ("8:0 200") stay as they are written.
  Result<> Weight(const LimitRow& row, std::string_view text) {
    std::optional<Pair> words = SplitFirst(text, ' ');
    if (words && words->head != "default")
      return {};
    uint64_t weight = TRY(ParseUint(words ? words->tail : text));
    Set(row.property, row.form == Form::kBfqWeight ? FromBfqWeight(weight) : weight);
    return {};
  }

  Result<> Quota(const LimitRow& row, std::string_view text) {
    std::optional<Pair> words = SplitFirst(text, ' ');
    uint64_t quota = TRY(NumberOrMax(words ? words->head : text));
    uint64_t period = kDefaultPeriod;
    if (words)
      period = TRY(ParseUint(words->tail));
    if (period == 0 || (quota != kInfinity && quota > kInfinity / kMicroseconds))
      return Fail(Errc::kInvalid, Cat(text, " is no quota of time"));
    if (quota != kInfinity)
      quota = (quota * kMicroseconds / period + kPercent - 1) / kPercent * kPercent;
    Set(row.property, quota);
    Set("CPUQuotaPeriodUSec", period);
    return {};
  }

  std::vector<UnitProperty> list_;
};

struct NumberType {
  std::string_view name;  // in GVariant text
  char type;
  int64_t least;
  uint64_t most;
};
constexpr NumberType kNumberTypes[] = {
    {"byte", 'y', 0, UINT8_MAX},    {"int16", 'n', INT16_MIN, INT16_MAX},
    {"uint16", 'q', 0, UINT16_MAX}, {"int32", 'i', INT32_MIN, INT32_MAX},
    {"uint32", 'u', 0, UINT32_MAX}, {"int64", 'x', INT64_MIN, INT64_MAX},
    {"uint64", 't', 0, UINT64_MAX},
};

std::unexpected<Error> NoValue() {
  return Fail(Errc::kInvalid, "is not true, false, a text in quotes, a list of such, or a number");
}

// A text in quotes at the beginning of `rest`, which begins after it then.
Result<std::string> TakeText(std::string_view& rest) {
  if (rest.empty() || (rest[0] != '\'' && rest[0] != '"'))
    return NoValue();
  std::string text;
  for (size_t i = 1; i < rest.size(); ++i) {
    if (rest[i] == rest[0]) {
      rest = Trim(rest.substr(i + 1));
      return text;
    }
    if (rest[i] == '\\' && i + 1 < rest.size())
      ++i;
    text += rest[i];
  }
  return NoValue();
}

Result<std::vector<std::string>> TextList(std::string_view rest) {
  std::vector<std::string> list;
  rest = Trim(rest.substr(1));
  while (!rest.starts_with(']')) {
    if (!list.empty()) {
      if (!rest.starts_with(','))
        return NoValue();
      rest = Trim(rest.substr(1));
    }
    std::string text = TRY(TakeText(rest));
    list.push_back(std::move(text));
  }
  if (rest != "]")
    return NoValue();
  return list;
}

Result<> ReadNumber(std::string_view text, UnitProperty& property) {
  std::optional<Pair> words = SplitFirst(text, ' ');
  std::string_view name = words ? words->head : "int32";
  std::string_view digits = words ? Trim(words->tail) : text;
  const NumberType* row = std::ranges::find(kNumberTypes, name, &NumberType::name);
  if (row == std::end(kNumberTypes))
    return NoValue();
  Result<int64_t> low = ParseInt(digits);
  Result<uint64_t> high = ParseUint(digits);
  bool fits = digits.starts_with('-') ? low && *low >= row->least : high && *high <= row->most;
  if (!fits)
    return NoValue();
  property.type = row->type;
  property.number = high ? *high : static_cast<uint64_t>(*low);
  constexpr std::string_view kSeconds = "Sec";
  bool seconds = property.name.ends_with(kSeconds) && !property.name.ends_with("USec");
  if (!seconds)
    return {};
  if (!high || *high > kInfinity / kMicroseconds)
    return NoValue();
  property.type = "t";
  property.number *= kMicroseconds;
  property.name.resize(property.name.size() - kSeconds.size());
  Append(property.name, "USec");
  return {};
}

Result<UnitProperty> ReadProperty(std::string_view name, std::string_view text) {
  UnitProperty property{std::string(name), "s", 0, {}};
  bool letters = std::ranges::all_of(
      name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
  if (name.empty() || !letters)
    return Fail(Errc::kInvalid, "does not name a property");
  if (text == "true" || text == "false") {
    property.type = "b";
    property.number = text == "true" ? 1 : 0;
  } else if (text.starts_with('[')) {
    property.type = "as";
    property.texts = TRY(TextList(text));
  } else if (text.starts_with('\'') || text.starts_with('"')) {
    std::string inside = TRY(TakeText(text));
    property.texts.push_back(std::move(inside));
    if (!text.empty())
      return NoValue();
  } else {
    TRY(ReadNumber(text, property));
  }
  return property;
}

}  // namespace

Result<ScopeName> ParseScopeName(const std::string& cgroups_path, const std::string& id) {
  if (cgroups_path.empty())
    return ScopeName{Cat("wherry-", id, ".scope"), ""};
  std::vector<std::string_view> parts = Split(cgroups_path, ':');
  if (parts.size() != 3) {
    return Fail(Errc::kInvalid,
                Cat("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd "
                    "cgroups, got \"",
                    cgroups_path, "\" instead"));
  }
  if (parts[2].ends_with(".slice"))
    return Fail(Errc::kUnsupported, Cat("cgroupsPath \"", cgroups_path, "\" names a slice"));
  return ScopeName{Cat(parts[1], "-", parts[2], ".scope"), std::string(parts[0])};
}

void UnitProperty::Write(sys::DbusWriter& out) const {
  out.Property(name, type);
  if (type == "s") {
    out.Text(texts[0]);
  } else if (type == "as") {
    sys::DbusWriter::Array list = out.Open('s');
    for (const std::string& text : texts)
      out.Text(text);
    out.Close(list);
  } else if (type == "ay") {
    sys::DbusWriter::Array list = out.Open('y');
    for (char byte : texts[0])
      out.Number('y', static_cast<uint8_t>(byte));
    out.Close(list);
  } else {
    out.Number(type[0], number);
  }
}

Result<std::vector<UnitProperty>> LimitProperties(std::span<const CgroupWrite> writes) {
  LimitList list;
  for (const CgroupWrite& write : writes) {
    const LimitRow* row = std::ranges::find(kLimits, write.file, &LimitRow::file);
    if (row != std::end(kLimits))
      TRY_CTX(Cat(write.file, " \"", write.value, "\" for systemd"),
              list.Add(*row, Trim(write.value)));
  }
  return list.Take();
}

Result<std::vector<UnitProperty>> AnnotatedProperties(
    const std::map<std::string, std::string>& annotations) {
  std::vector<UnitProperty> list;
  for (const auto& [key, value] : annotations) {
    if (!key.starts_with(kAnnotation))
      continue;
    Result<UnitProperty> property = ReadProperty(key.substr(kAnnotation.size()), Trim(value));
    if (!property)
      return Fail(Errc::kInvalid,
                  Cat("annotation ", key, " \"", value, "\" ", property.error().message()));
    list.push_back(std::move(*property));
  }
  return list;
}

}  // namespace wherry::runtime
