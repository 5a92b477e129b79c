#!/bin/sh
# fake_pi.sh SYSROOT: gives the sysroot the /proc/cpuinfo and /sys/devices/system/cpu of a Raspberry Pi 4 (4 Cortex-A72).
#
# qemu -L looks for every absolute path in the sysroot first. Without these files, inference engines read the host's
# x86 description of the CPU and crash.
set -eu
root=$1
cpus=$root/sys/devices/system/cpu
mkdir -p "$root/proc" "$cpus"
for name in possible present online; do echo 0-3 >"$cpus/$name"; done
echo 255 >"$cpus/kernel_max"
: >"$root/proc/cpuinfo"

cache() { # FOLDER TYPE LEVEL SIZE CPUS
  mkdir -p "$1"
  echo "$2" >"$1/type"
  echo "$3" >"$1/level"
  echo "$4" >"$1/size"
  echo "$5" >"$1/shared_cpu_list"
  echo 64 >"$1/coherency_line_size"
  echo 16 >"$1/ways_of_associativity"
  echo 256 >"$1/number_of_sets"
}

for i in 0 1 2 3; do
  printf 'processor\t: %d\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\n' $i >>"$root/proc/cpuinfo"
  printf 'CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n' >>"$root/proc/cpuinfo"
  printf 'CPU part\t: 0xd08\nCPU revision\t: 3\n\n' >>"$root/proc/cpuinfo"
  cpu=$cpus/cpu$i
  mkdir -p "$cpu/cpufreq" "$cpu/topology" "$cpu/regs/identification"
  echo 1800000 >"$cpu/cpufreq/cpuinfo_max_freq"
  echo 600000 >"$cpu/cpufreq/cpuinfo_min_freq"
  echo 0 >"$cpu/topology/physical_package_id"
  echo $i >"$cpu/topology/core_id"
  for name in core_siblings_list cluster_cpus_list package_cpus_list; do echo 0-3 >"$cpu/topology/$name"; done
  echo $i >"$cpu/topology/thread_siblings_list"
  echo f >"$cpu/topology/core_siblings"
  echo 0x00000000410fd083 >"$cpu/regs/identification/midr_el1"
  cache "$cpu/cache/index0" Data 1 32K $i
  cache "$cpu/cache/index1" Instruction 1 48K $i
  cache "$cpu/cache/index2" Unified 2 1024K 0-3
done
printf 'Hardware\t: BCM2835\nRevision\t: c03115\nModel\t\t: Raspberry Pi 4 Model B Rev 1.5\n' >>"$root/proc/cpuinfo"
