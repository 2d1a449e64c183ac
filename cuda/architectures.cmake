# What the CUDA library holds code for, and the only place that says it. 90a is Hopper with wgmma; the last one is kept as PTX too, for GPUs to come.
set(WARPWEFT_ARCHITECTURES 80-real 86-real 89-real 90a-real 100-real 120)
