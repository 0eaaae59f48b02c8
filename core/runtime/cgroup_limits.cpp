#include "core/runtime/cgroup_limits.h"

#include <algorithm>
#include <cstdint>

#include "core/base/text.h"
#include "core/runtime/cgroup.h"

namespace wherry::runtime {

namespace {

constexpr double kLn2 = 0.693147180559945309;
constexpr double kLn10 = 2.302585092994045684;

// Without libm: a logarithm in one place is not worth its tables.
double Log2(double value) {
  double result = 0;
  while (value >= 2) {
    value /= 2;
    ++result;
  }
  // ln(v) = 2 atanh((v - 1) / (v + 1)), the argument is at most 1/3.
  double t = (value - 1) / (value + 1);
  double power = t;
  double sum = 0;
  for (int k = 1; k < 60; k += 2) {
    sum += power / k;
    power *= t * t;
  }
  return result + 2 * sum / kLn2;
}

// 10^x for x >= 0.
double PowerOf10(double x) {
  double scale = 1;
  while (x >= 1) {
    scale *= 10;
    --x;
  }
  double y = x * kLn10;
  double term = 1;
  double sum = 1;
  for (int k = 1; k < 40; ++k) {
    term *= y / k;
    sum += term;
  }
  return scale * sum;
}

class WriteList {
 public:
  WriteList(const oci::LinuxResources& resources, IoWeightFile io_weight)
      : resources_(resources), io_weight_(io_weight) {}

  Result<std::vector<CgroupWrite>> Make() {
    TRY(Memory());
    TRY(Cpu());
    TRY(Cpuset());
    if (resources_.pids_limit)
      Add("pids.max", MaxOr(*resources_.pids_limit));
    TRY(Io());
    TRY(Hugepages());
    Rdma();
    TRY(Unified());
    return std::move(writes_);
  }

 private:
  void Add(std::string file, std::string value, IfMissing if_missing = IfMissing::kError) {
    writes_.push_back({std::move(file), std::move(value), if_missing});
  }

  static std::string MaxOr(int64_t value) { return value < 0 ? std::string("max") : Cat(value); }

  Result<> Memory() {
    const oci::Memory& memory = resources_.memory;
    // 0 is "leave alone", as in runc.
    int64_t limit = memory.limit.value_or(0);
    int64_t reservation = memory.reservation.value_or(0);
    TRY(Swap(limit, memory.swap.value_or(0)));
    if (limit != 0)
      Add("memory.max", MaxOr(limit));
    if (reservation != 0)
      Add("memory.low", MaxOr(reservation));
    return {};
  }

  // v1 limits memory and swap together, v2 swap alone.
  Result<> Swap(int64_t limit, int64_t total) {
    if (total == 0 && limit >= 0)
      return {};
    if (total <= 0) {  // unlimited, or nothing said and memory unlimited
      Add("memory.swap.max", "max", IfMissing::kIgnore);
      return {};
    }
    if (limit <= 0) {
      return Fail(Errc::kInvalid, "linux.resources.memory.swap needs a memory limit beside it");
    }
    if (total < limit) {
      return Fail(Errc::kInvalid,
                  Cat("linux.resources.memory.swap (", total,
                      ") is memory plus swap and cannot be below the memory limit (", limit, ")"));
    }
    int64_t swap = total - limit;
    Add("memory.swap.max", Cat(swap), swap == 0 ? IfMissing::kIgnore : IfMissing::kError);
    return {};
  }

  Result<> Cpu() {
    const oci::Cpu& cpu = resources_.cpu;
    if (uint64_t weight = CpuWeightFromShares(cpu.shares.value_or(0)); weight != 0)
      Add("cpu.weight", Cat(weight));
    if (cpu.idle) {
      if (*cpu.idle != 0 && *cpu.idle != 1)
        return Fail(Errc::kInvalid, "linux.resources.cpu.idle must be 0 or 1");
      Add("cpu.idle", Cat(*cpu.idle));
    }
    int64_t quota = cpu.quota.value_or(0);
    uint64_t period = cpu.period.value_or(0);
    if (quota != 0 || period != 0) {
      constexpr uint64_t kDefaultPeriod = 100000;
      // A quota below the former burst would be refused.
      if (cpu.burst.value_or(0) != 0)
        Add("cpu.max.burst", "0");
      std::string budget = quota > 0 ? Cat(quota) : std::string("max");
      Add("cpu.max", Cat(budget, ' ', period != 0 ? period : kDefaultPeriod));
    }
    if (cpu.burst)
      Add("cpu.max.burst", Cat(*cpu.burst));
    return {};
  }

  Result<> Cpuset() {
    TRY(CpuList("cpuset.cpus", resources_.cpu.cpus));
    return CpuList("cpuset.mems", resources_.cpu.mems);
  }

  Result<> CpuList(std::string_view file, const std::string& list) {
    if (list.empty())
      return {};
    if (list.find_first_not_of("0123456789,-") != std::string::npos) {
      return Fail(Errc::kInvalid, Cat(file, " must look like \"0-2,4\", not \"", list, "\""));
    }
    Add(std::string(file), list);
    return {};
  }

  Result<> Io() {
    const oci::BlockIo& io = resources_.block_io;
    if (io.weight.value_or(0) != 0)
      TRY(IoWeight("default", *io.weight));
    for (const oci::DeviceWeight& device : io.device_weights) {
      TRY(IoWeight(Cat(device.major, ':', device.minor), device.weight));
    }
    IoRates("rbps", io.read_bps);
    IoRates("wbps", io.write_bps);
    IoRates("riops", io.read_iops);
    IoRates("wiops", io.write_iops);
    return {};
  }

  Result<> IoWeight(std::string_view of, uint16_t weight) {
    if (weight < 10 || weight > 1000) {
      return Fail(Errc::kInvalid,
                  Cat("linux.resources.blockIO.weight must be from 10 to 1000, not ", weight));
    }
    if (io_weight_ == IoWeightFile::kBfq) {
      Add("io.bfq.weight", Cat(of, ' ', weight));
    } else {
      Add("io.weight", Cat(of, ' ', IoWeightFromBlkio(weight)));
    }
    return {};
  }

  void IoRates(std::string_view key, const std::vector<oci::DeviceRate>& rates) {
    for (const oci::DeviceRate& rate : rates) {
      std::string value = rate.rate == 0 ? std::string("max") : Cat(rate.rate);
      Add("io.max", Cat(rate.major, ':', rate.minor, ' ', key, '=', value));
    }
  }

  Result<> Hugepages() {
    for (const oci::HugepageLimit& limit : resources_.hugepage_limits) {
      for (char c : limit.page_size) {
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'))
          continue;
        return Fail(Errc::kInvalid,
                    Cat("linux.resources.hugepageLimits.pageSize: \"", limit.page_size, "\""));
      }
      Add(Cat("hugetlb.", limit.page_size, ".max"), Cat(limit.limit));
      // Reservations count too where the kernel (5.7) can count them.
      Add(Cat("hugetlb.", limit.page_size, ".rsvd.max"), Cat(limit.limit), IfMissing::kIgnore);
    }
    return {};
  }

  void Rdma() {
    for (const oci::RdmaLimit& limit : resources_.rdma) {
      std::string value = limit.device;
      if (limit.handles)
        Append(value, " hca_handle=", *limit.handles);
      if (limit.objects)
        Append(value, " hca_object=", *limit.objects);
      Add("rdma.max", std::move(value));
    }
  }

  Result<> Unified() {
    for (const auto& [file, content] : resources_.unified) {
      if (file.empty() || file.find('/') != std::string::npos ||
          file.find('.') == std::string::npos) {
        return Fail(Errc::kInvalid,
                    Cat("linux.resources.unified: the specified key has not the form "
                        "CONTROLLER.VALUE `",
                        file, "`"));
      }
      // Files such as io.max take one line per write.
      for (std::string_view line : Split(content, '\n')) {
        if (!line.empty())
          Add(file, std::string(line));
      }
    }
    return {};
  }

  const oci::LinuxResources& resources_;
  IoWeightFile io_weight_;
  std::vector<CgroupWrite> writes_;
};

}  // namespace

uint64_t CpuWeightFromShares(uint64_t shares) {
  if (shares == 0)
    return 0;
  if (shares <= 2)
    return 1;
  if (shares >= 262144)
    return 10000;
  // The quadratic through 2 -> 1, 1024 -> 100 and 262144 -> 10000 in logarithms.
  double l = Log2(static_cast<double>(shares));
  double weight = PowerOf10((l * l + 125 * l) / 612 - 7.0 / 34);
  // Rounded up, but for what is a whole number up to the last digits of the arithmetic.
  auto floor = static_cast<uint64_t>(weight + 1e-9);
  return weight - static_cast<double>(floor) > 1e-9 ? floor + 1 : floor;
}

uint64_t IoWeightFromBlkio(uint64_t blkio_weight) {
  return 1 + (blkio_weight - 10) * 9999 / 990;
}

Result<std::vector<CgroupWrite>> LimitWrites(const oci::LinuxResources& resources,
                                             IoWeightFile io_weight) {
  return WriteList(resources, io_weight).Make();
}

std::string FormerValue(const CgroupWrite& write, std::string_view content) {
  struct Keyed {
    std::string_view file;
    std::string_view unset;  // of a key that has no line
  };
  constexpr Keyed kKeyed[] = {{"io.max", "rbps=max wbps=max riops=max wiops=max"},
                              {"io.weight", "default"},
                              {"io.bfq.weight", "default"},
                              {"io.latency", "target=0"},
                              {"rdma.max", "hca_handle=max hca_object=max"},
                              {"misc.max", "max"}};
  const Keyed* keyed = std::ranges::find(kKeyed, std::string_view(write.file), &Keyed::file);
  if (keyed == std::end(kKeyed))  // an empty one is emptied by a line of its own
    return Cat(Trim(content), '\n');
  std::string_view key = Split(write.value, ' ').front();
  for (std::string_view line : Split(content, '\n')) {
    if (Split(line, ' ').front() == key)
      return std::string(line);
  }
  return Cat(key, ' ', keyed->unset);
}

}  // namespace wherry::runtime
