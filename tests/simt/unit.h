/* What a CUDA body includes, before the namespace that its build for the interpreter lives in: nvcc's build
 * of the same file has the same C++ names, and a linker would take one for the other. (CMakeLists.txt writes
 * the units.) */
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/device_cuda.h"
#include "tests/simt/planted.h"

extern "C" {
#include "kernels/ops.h"
}
