# lit configuration: every .mlir file (and .test file) under this folder is a test.
import os
import lit.formats

config.name = "ahm"
config.test_format = lit.formats.ShTest(True)
config.suffixes = [".mlir", ".test"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.ahm_build_dir, "test", "lit")
config.environment["PATH"] = os.pathsep.join(
    [os.path.join(config.ahm_build_dir, "bin"), config.llvm_bin_dir, config.environment.get("PATH", os.environ["PATH"])])
config.substitutions.append(("%root", config.ahm_source_dir))
