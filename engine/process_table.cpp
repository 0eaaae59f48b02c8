#include "engine/process_table.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/base/user_db.h"
#include "core/sys/cgroup.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxCommand = 4096;
constexpr int64_t kNanos = 1'000'000'000;

// What all rows share.
struct Machine {
  int64_t ticks = sysconf(_SC_CLK_TCK);
  int64_t page_kb = sysconf(_SC_PAGESIZE) / 1024;
  int64_t memory_kb = sysconf(_SC_PHYS_PAGES) * (sysconf(_SC_PAGESIZE) / 1024);
  int64_t uptime = Uptime().count();
  int64_t now = UnixNanosNow();
  std::string passwd = ReadFile("/etc/passwd").value_or("");
};

// proc_pid_stat(5), by the numbers used there.
enum StatField : uint8_t {
  kState = 3,
  kParent = 4,
  kGroup = 5,
  kSession = 6,
  kTerminal = 7,
  kUserTime = 14,
  kSystemTime = 15,
  kPriority = 18,
  kNice = 19,
  kThreads = 20,
  kStartTime = 22,
  kVirtualSize = 23,
  kResident = 24,
};

struct Process {
  int pid = 0;
  std::string name;     // at most 15 bytes
  std::string command;  // with arguments, or "[name]"
  char state = '?';
  std::array<int64_t, 25> stat{};
  uint32_t uid = 0;

  int64_t cpu_seconds(const Machine& machine) const {
    return (stat[kUserTime] + stat[kSystemTime]) / machine.ticks;
  }
  int64_t age(const Machine& machine) const {
    return std::max<int64_t>(machine.uptime / kNanos - stat[kStartTime] / machine.ticks, 0);
  }
  int64_t started(const Machine& machine) const { return machine.now - age(machine) * kNanos; }
};

// What a program calls itself may be anything.
std::string Printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f)
      c = c == '\0' ? ' ' : '?';
  }
  while (text.ends_with(' '))
    text.pop_back();
  return text;
}

// "Uid:" real, effective, saved, file system.
uint32_t EffectiveUid(std::string_view status) {
  constexpr std::string_view kKey = "\nUid:\t";
  size_t at = status.find(kKey);
  if (at == std::string_view::npos)
    return 0;
  auto words = Split(status.substr(at + kKey.size()).substr(0, 64), '\t');
  return words.size() > 1 ? static_cast<uint32_t>(ParseUint(words[1]).value_or(0)) : 0;
}

Result<Process> ReadProcess(int pid) {
  UniqueFd dir = TRY(OpenDir(Cat("/proc/", pid)));
  std::string stat = TRY(ReadFileAt(dir.get(), "stat"));
  size_t open = stat.find('(');
  size_t close = stat.rfind(") ");
  if (open == std::string::npos || close == std::string::npos || close < open)
    return Fail(Errc::kInvalid, "stat");
  Process process;
  process.pid = pid;
  process.name = Printable(stat.substr(open + 1, close - open - 1));
  size_t number = kState;
  for (std::string_view field : Split(std::string_view(stat).substr(close + 2), ' ')) {
    if (number == kState && !field.empty())
      process.state = field[0];
    if (number < process.stat.size())
      process.stat[number] = ParseInt(field).value_or(0);
    ++number;
  }
  std::string status = TRY(ReadFileAt(dir.get(), "status"));
  process.uid = EffectiveUid(status);
  std::string command(kMaxCommand, '\0');
  UniqueFd file = TRY(OpenAt(dir.get(), "cmdline", O_RDONLY));
  ssize_t size = read(file.get(), command.data(), command.size());
  command.resize(size > 0 ? static_cast<size_t>(size) : 0);
  process.command = Printable(std::move(command));
  if (process.command.empty())
    process.command = Cat("[", process.name, "]");
  return process;
}

std::string User(const Process& process, const Machine& machine) {
  auto entry = FindUser(machine.passwd, process.uid);
  return entry ? std::string(entry->name) : Cat(process.uid);
}

std::string Terminal(const Process& process, const Machine&) {
  int64_t device = process.stat[kTerminal];
  int64_t major = (device >> 8) & 0xfff;
  int64_t minor = (device & 0xff) | ((device >> 12) & 0xfff00);
  if (major >= 136 && major <= 143)
    return Cat("pts/", (major - 136) * 256 + minor);
  return major == 4 ? Cat("tty", minor) : std::string("?");
}

std::string TwoDigits(int64_t number) {
  return Cat(number < 10 ? "0" : "", number);
}

std::string CpuTime(const Process& process, const Machine& machine) {
  int64_t seconds = process.cpu_seconds(machine);
  return Cat(TwoDigits(seconds / 3600), ":", TwoDigits(seconds / 60 % 60), ":",
             TwoDigits(seconds % 60));
}

// The hour of today's processes, the date of older ones.
std::string Started(const Process& process, const Machine& machine) {
  std::string text = FormatRfc3339Nano(process.started(machine));
  return process.age(machine) < 24 * 3600 ? text.substr(11, 5) : text.substr(5, 5);
}

std::string Tenths(int64_t part, int64_t whole) {
  int64_t tenths = whole > 0 ? part * 1000 / whole : 0;
  return Cat(tenths / 10, ".", tenths % 10);
}

std::string CpuShare(const Process& process, const Machine& machine) {
  return Tenths(process.cpu_seconds(machine), process.age(machine));
}

std::string WholeCpuShare(const Process& process, const Machine& machine) {
  int64_t age = process.age(machine);
  return Cat(age > 0 ? process.cpu_seconds(machine) * 100 / age : 0);
}

std::string MemoryShare(const Process& process, const Machine& machine) {
  return Tenths(process.stat[kResident] * machine.page_kb, machine.memory_kb);
}

std::string Resident(const Process& process, const Machine& machine) {
  return Cat(process.stat[kResident] * machine.page_kb);
}

template <StatField kField, int64_t kDivisor = 1>
std::string Number(const Process& process, const Machine&) {
  return Cat(process.stat[kField] / kDivisor);
}

std::string Pid(const Process& process, const Machine&) {
  return Cat(process.pid);
}
std::string Uid(const Process& process, const Machine&) {
  return Cat(process.uid);
}
std::string State(const Process& process, const Machine&) {
  return std::string(1, process.state);
}
std::string Name(const Process& process, const Machine&) {
  return process.name;
}
std::string Command(const Process& process, const Machine&) {
  return process.command;
}

struct Column {
  std::string_view key;
  std::string_view title;
  std::string (*text)(const Process& process, const Machine& machine);
};

// ps(1), "STANDARD FORMAT SPECIFIERS".
constexpr Column kColumns[] = {
    {"%cpu", "%CPU", CpuShare},
    {"%mem", "%MEM", MemoryShare},
    {"args", "COMMAND", Command},
    {"c", "C", WholeCpuShare},
    {"cmd", "CMD", Command},
    {"comm", "COMMAND", Name},
    {"command", "COMMAND", Command},
    {"euid", "EUID", Uid},
    {"euser", "EUSER", User},
    {"ni", "NI", Number<kNice>},
    {"nice", "NI", Number<kNice>},
    {"nlwp", "NLWP", Number<kThreads>},
    {"pcpu", "%CPU", CpuShare},
    {"pgid", "PGID", Number<kGroup>},
    {"pgrp", "PGRP", Number<kGroup>},
    {"pid", "PID", Pid},
    {"pmem", "%MEM", MemoryShare},
    {"ppid", "PPID", Number<kParent>},
    {"pri", "PRI", Number<kPriority>},
    {"rss", "RSS", Resident},
    {"s", "S", State},
    {"sid", "SID", Number<kSession>},
    {"start", "START", Started},
    {"stat", "STAT", State},
    {"state", "S", State},
    {"stime", "STIME", Started},
    {"time", "TIME", CpuTime},
    {"tty", "TTY", Terminal},
    {"uid", "UID", Uid},
    {"user", "USER", User},
    {"vsz", "VSZ", Number<kVirtualSize, 1024>},
};

struct Preset {
  std::string_view words;
  std::string_view columns;
};
constexpr std::string_view kFull = "user=UID,pid,ppid,c,stime,tty,time,cmd";
constexpr Preset kPresets[] = {
    {"", kFull},
    {"-ef", kFull},
    {"-f", kFull},
    {"-e", "pid,tty,time,comm=CMD"},
    {"-A", "pid,tty,time,comm=CMD"},
    {"aux", "user,pid,%cpu,%mem,vsz,rss,tty,stat,start,time,command"},
    {"-aux", "user,pid,%cpu,%mem,vsz,rss,tty,stat,start,time,command"},
};

Result<std::string> ColumnList(std::string_view ps_args) {
  for (const Preset& preset : kPresets) {
    if (preset.words == ps_args)
      return std::string(preset.columns);
  }
  std::string list;
  auto words = Split(ps_args, ' ');
  for (size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    bool columns =
        (word == "o" || word == "-o" || word == "-eo" || word == "-Ao") && i + 1 < words.size();
    if (columns)
      Append(list, list.empty() ? "" : ",", words[++i]);
    else if (!word.empty() && word != "-e" && word != "-A")
      return Fail(Errc::kInvalid, Cat("ps arguments '", ps_args.substr(0, 100),
                                      "' are not supported: -ef, aux and -o LIST are"));
  }
  return list;
}

struct Wanted {
  std::string title;
  const Column* column;
};

Result<std::vector<Wanted>> ParseColumns(std::string_view list) {
  std::vector<Wanted> wanted;
  for (std::string_view word : Split(list, ',')) {
    auto split = SplitFirst(word, '=');
    std::string_view key = split ? split->head : word;
    auto column = std::ranges::find(kColumns, key, &Column::key);
    if (column == std::end(kColumns))
      return Fail(Errc::kInvalid, Cat("the column '", key.substr(0, 100), "' is not supported"));
    wanted.push_back({std::string(split ? split->tail : column->title), column});
  }
  return wanted;
}

}  // namespace

Result<ProcessTable> ListProcesses(const std::string& cgroup, std::string_view ps_args) {
  auto list = TRY(ColumnList(Trim(ps_args)));
  auto wanted = TRY(ParseColumns(list));
  ProcessTable table;
  for (const Wanted& column : wanted)
    table.titles.push_back(column.title);
  sys::CgroupHost host = TRY(sys::FindCgroupHost());
  UniqueFd dir = TRY(OpenDir(Cat(host.mount, cgroup)));
  auto pids = TRY(sys::CgroupPids(dir.get()));
  std::ranges::sort(pids);
  Machine machine;
  for (int pid : pids) {
    auto process = ReadProcess(pid);
    if (!process)
      continue;  // ended meanwhile
    std::vector<std::string>& row = table.rows.emplace_back();
    for (const Wanted& column : wanted)
      row.push_back(column.column->text(*process, machine));
  }
  return table;
}

}  // namespace wherry::engine
