#!/usr/bin/env bash
# A compiler whose code for some instruction sets dies of SIGILL, as GCC 12's does with AMX.
#
# Call it through links named cc and c++. BREAKS says what is broken: `amx` or `avx512` (unless the
# flags turn them off), `native` (whatever is compiled with -march=native), `all` (everything).
# In a broken compilation each function of a file of kernels begins with an undefined instruction.
set -euo pipefail

native=no amx=no avx512=no kernels=no compiles=no
for argument in "$@"; do
    case $argument in
    -march=native) native=yes ;;
    -mamx*) amx=yes ;;
    -mavx512*) avx512=yes ;;
    -mno-amx-tile) no_amx=yes ;;
    -mno-avx512f) no_avx512=yes ;;
    -c) compiles=yes ;;
    *quants.c | *vec.cpp | *repack.cpp | *mmq.cpp | *sgemm.cpp) kernels=yes ;;
    esac
done

broken=no
case ${BREAKS:-native} in
amx) [ "${no_amx:-no}" = no ] && { [ $native = yes ] || [ $amx = yes ]; } && broken=yes ;;
avx512) [ "${no_avx512:-no}" = no ] && { [ $native = yes ] || [ $avx512 = yes ]; } && broken=yes ;;
native) broken=$native ;;
all) broken=yes ;;
esac

extra=()
if [ "$broken" = yes ] && [ $kernels = yes ] && [ $compiles = yes ]; then
    extra=(-finstrument-functions -include "$(dirname "$(readlink -f "$0")")/breaking_compiler.h")
fi
exec "/usr/bin/$(basename "$0")" "$@" "${extra[@]}"
