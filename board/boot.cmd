# U-Boot script that boots slot A or B of this disk, by BOOT_ORDER, BOOT_A_LEFT and BOOT_B_LEFT.
# For a U-Boot that was built without a redundant environment on this disk, as Debian's for QEMU: the script itself keeps
# one, in the partition "env", in the format of CONFIG_ENV_REDUNDANT: two copies of 16 KiB, each crc32, flags, data.
# docs/board.md tells how it is installed.

setenv copy0 0x50000000
setenv copy1 0x50004000
setenv flags0 0x50000004
setenv flags1 0x50004004
part start ${devtype} ${devnum} env lba0
setexpr lba1 ${lba0} + 0x20
${devtype} read ${copy0} ${lba0} 0x40

# `env import -c` knows copies without flags: crc32, data.
cp.b 0x50000000 0x50010000 4
cp.b 0x50000005 0x50010004 0x3ffb
cp.b 0x50004000 0x50014000 4
cp.b 0x50004005 0x50014004 0x3ffb
setenv newest
if env import -c 0x50010000 0x3fff BOOT_ORDER; then setenv newest 0; fi
if env import -c 0x50014000 0x3fff BOOT_ORDER; then
  if test -z "${newest}"; then setenv newest 1; fi
  if itest.b *${flags1} -gt *${flags0}; then setenv newest 1; fi
  if itest.b *${flags0} -eq 0xff && itest.b *${flags1} -eq 0; then setenv newest 1; fi
  if itest.b *${flags1} -eq 0xff && itest.b *${flags0} -eq 0; then setenv newest 0; fi
fi
# Neither is valid: the defaults, written as the copy after none.
setenv BOOT_ORDER "A B"
setenv BOOT_A_LEFT 3
setenv BOOT_B_LEFT 3
setenv next_lba ${lba1}
setenv next_flags 1
if test "${newest}" = 0; then
  env import -c 0x50010000 0x3fff BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
  setexpr.b next_flags *${flags0}
  setexpr.b next_flags ${next_flags} + 1
fi
if test "${newest}" = 1; then
  env import -c 0x50014000 0x3fff BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
  setexpr.b next_flags *${flags1}
  setexpr.b next_flags ${next_flags} + 1
  setenv next_lba ${lba0}
fi

# The first slot of the order that has boots left; one less before it is booted.
setenv slot
for name in ${BOOT_ORDER}; do
  if test -z "${slot}"; then
    if test "${name}" = A && itest 0x${BOOT_A_LEFT} -gt 0; then
      setenv slot A
      setenv root slot-a
      setexpr BOOT_A_LEFT ${BOOT_A_LEFT} - 1
    fi
    if test "${name}" = B && itest 0x${BOOT_B_LEFT} -gt 0; then
      setenv slot B
      setenv root slot-b
      setexpr BOOT_B_LEFT ${BOOT_B_LEFT} - 1
    fi
  fi
done
if test -z "${slot}"; then
  echo "No slot has boots left: both are tried again"
  setenv BOOT_A_LEFT 3
  setenv BOOT_B_LEFT 3
fi

env export -c -s 0x3fff 0x50020000 BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
cp.b 0x50020000 0x50024000 4
mw.b 0x50024004 ${next_flags}
cp.b 0x50020004 0x50024005 0x3ffb
${devtype} write 0x50024000 ${next_lba} 0x20

if test -n "${slot}"; then
  echo "Booting slot ${slot}, environment copy ${newest}, order ${BOOT_ORDER}, left ${BOOT_A_LEFT} ${BOOT_B_LEFT}"
  part number ${devtype} ${devnum} ${root} number
  setenv bootargs "${slot_bootargs} root=PARTLABEL=${root} wherry.slot=${slot}"
  if load ${devtype} ${devnum}:${number} ${kernel_addr_r} /boot/vmlinuz && load ${devtype} ${devnum}:${number} ${ramdisk_addr_r} /boot/initrd; then
    booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdtcontroladdr}
  fi
fi
reset
