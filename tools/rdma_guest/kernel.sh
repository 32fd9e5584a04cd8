# Sourced: which kernel the RDMA guest boots, and where it lies.
kit=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
kernel_version=6.12

# Named after what it was built from: another configuration is another kernel.
cached_kernel() {
  local sum
  sum=$(echo "$kernel_version" | cat - "$kit/kernel.config" | sha256sum)
  echo "${PACELINE_CACHE:-${HOME:-/root}/.cache/paceline}/rdma_guest/linux-$kernel_version-${sum:0:12}"
}

# The file that PACELINE_RDMA_KERNEL names, unpacked into the cache where it is an .xz; else the one that was built.
# Says what to do where there is none.
find_kernel() {
  local kernel packed=${PACELINE_RDMA_KERNEL:-} sum
  if [[ -z $packed ]]; then
    kernel=$(cached_kernel)
    [[ -x $kernel ]] || { echo "no kernel: build one, once, with tools/rdma_guest/build_kernel" >&2; return 1; }
  elif [[ ! -f $packed ]]; then
    echo "PACELINE_RDMA_KERNEL=$packed: no such file" >&2
    return 1
  elif [[ $packed == *.xz ]]; then
    sum=$(sha256sum <"$packed")
    kernel=$(dirname "$(cached_kernel)")/linux-given-${sum:0:12}
    if [[ ! -x $kernel ]]; then
      mkdir -p "$(dirname "$kernel")" && xz -dc "$packed" >"$kernel.$$" && chmod +x "$kernel.$$" &&
        mv "$kernel.$$" "$kernel" || { rm -f "$kernel.$$"; echo "$packed cannot be unpacked to $kernel" >&2; return 1; }
    fi
  else
    kernel=$(realpath "$packed")
    [[ -x $kernel ]] || { echo "PACELINE_RDMA_KERNEL=$packed cannot be executed: chmod +x" >&2; return 1; }
  fi
  echo "$kernel"
}
