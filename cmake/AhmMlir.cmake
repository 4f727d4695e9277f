# Helpers for targets that use MLIR. Only the shared libraries MLIR and LLVM are ever linked: a static archive
# beside them would bring a second copy of every registry.

# ahm_dialect_tablegen(NAME [TYPES] [ATTRS] [ENUMS]): generates NAMEOps.h.inc etc. from NAMEOps.td, dialect name lower case.
# Generated files land in the binary folder that mirrors the source folder, so includes read "dialects/NN/NNOps.h.inc".
function(ahm_dialect_tablegen name)
  cmake_parse_arguments(ARG "TYPES;ATTRS;ENUMS" "" "" ${ARGN})
  string(TOLOWER ${name} dialect)
  set(LLVM_TARGET_DEFINITIONS ${name}Ops.td)
  mlir_tablegen(${name}Ops.h.inc -gen-op-decls EXTRA_INCLUDES ${CMAKE_SOURCE_DIR} ${MLIR_INCLUDE_DIRS})
  mlir_tablegen(${name}Ops.cpp.inc -gen-op-defs EXTRA_INCLUDES ${CMAKE_SOURCE_DIR} ${MLIR_INCLUDE_DIRS})
  mlir_tablegen(${name}Dialect.h.inc -gen-dialect-decls -dialect=${dialect} EXTRA_INCLUDES ${CMAKE_SOURCE_DIR} ${MLIR_INCLUDE_DIRS})
  mlir_tablegen(${name}Dialect.cpp.inc -gen-dialect-defs -dialect=${dialect} EXTRA_INCLUDES ${CMAKE_SOURCE_DIR} ${MLIR_INCLUDE_DIRS})
  if(ARG_TYPES)
    mlir_tablegen(${name}Types.h.inc -gen-typedef-decls -typedefs-dialect=${dialect} EXTRA_INCLUDES ${CMAKE_SOURCE_DIR} ${MLIR_INCLUDE_DIRS})
    mlir_tablegen(${name}Types.cpp.inc -gen-typedef-defs -typedefs-dialect=${dialect} EXTRA_INCLUDES ${CMAKE_SOURCE_DIR} ${MLIR_INCLUDE_DIRS})
  endif()
  if(ARG_ENUMS)
    mlir_tablegen(${name}Enums.h.inc -gen-enum-decls EXTRA_INCLUDES ${CMAKE_SOURCE_DIR} ${MLIR_INCLUDE_DIRS})
    mlir_tablegen(${name}Enums.cpp.inc -gen-enum-defs EXTRA_INCLUDES ${CMAKE_SOURCE_DIR} ${MLIR_INCLUDE_DIRS})
  endif()
  if(ARG_ATTRS)
    mlir_tablegen(${name}Attrs.h.inc -gen-attrdef-decls -attrdefs-dialect=${dialect} EXTRA_INCLUDES ${CMAKE_SOURCE_DIR} ${MLIR_INCLUDE_DIRS})
    mlir_tablegen(${name}Attrs.cpp.inc -gen-attrdef-defs -attrdefs-dialect=${dialect} EXTRA_INCLUDES ${CMAKE_SOURCE_DIR} ${MLIR_INCLUDE_DIRS})
  endif()
  add_public_tablegen_target(AHM${name}IncGen)
endfunction()

# MLIR's own headers take two thirds of the time of a compilation; they are compiled once. No header of ours is among them.
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/ahm_mlir_pch.cpp CONTENT "")
add_library(ahm_mlir_pch OBJECT ${CMAKE_BINARY_DIR}/ahm_mlir_pch.cpp)
target_include_directories(ahm_mlir_pch SYSTEM PUBLIC ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})
set(ahm_pch_headers <map> <string> <vector> <mlir/Bytecode/BytecodeOpInterface.h>
  <mlir/Dialect/Func/IR/FuncOps.h> <mlir/IR/AffineExpr.h> <mlir/IR/AffineMap.h> <mlir/IR/Builders.h> <mlir/IR/BuiltinAttributes.h>
  <mlir/IR/BuiltinOps.h> <mlir/IR/BuiltinTypes.h> <mlir/IR/DialectImplementation.h> <mlir/IR/OpImplementation.h> <mlir/IR/PatternMatch.h>
  <mlir/IR/SymbolTable.h> <mlir/Interfaces/SideEffectInterfaces.h> <mlir/Pass/Pass.h> <llvm/ADT/StringMap.h> <llvm/ADT/TypeSwitch.h>)
target_precompile_headers(ahm_mlir_pch PRIVATE ${ahm_pch_headers})
string(MD5 ahm_pch_sum "${ahm_pch_headers} ${MLIR_DIR} ${LLVM_PACKAGE_VERSION} ${CMAKE_CXX_COMPILER} ${CMAKE_CXX_COMPILER_VERSION} ${CMAKE_BUILD_TYPE} ${AHM_SANITIZE} ${AHM_FUZZ}")
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/CMakeFiles/ahm_mlir_pch.dir/cmake_pch.hxx.pch.sum CONTENT "${ahm_pch_sum}")
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # Without it the header's time of creation is checked, and a compiler cache would never hit.
  target_compile_options(ahm_mlir_pch PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
endif()
# Named by its path alone (REUSE_FROM adds a second, absolute one), so that a compiler cache sees the same command in every checkout.
function(ahm_use_mlir_pch target)
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    target_compile_options(${target} PRIVATE
      "SHELL:-Xclang -fno-pch-timestamp -include-pch ${CMAKE_BINARY_DIR}/CMakeFiles/ahm_mlir_pch.dir/cmake_pch.hxx.pch")
    add_dependencies(${target} ahm_mlir_pch)
    # A dependency between targets orders their links; each object has to wait for the header itself.
    get_target_property(sources ${target} SOURCES)
    set_property(SOURCE ${sources} APPEND PROPERTY OBJECT_DEPENDS ${CMAKE_BINARY_DIR}/CMakeFiles/ahm_mlir_pch.dir/cmake_pch.hxx.pch)
  endif()
endfunction()

# ahm_mlir_library(NAME SOURCES... [DEPENDS ...] [LIBS ...]): a static library of ours that links the shared MLIR.
function(ahm_mlir_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${name} SYSTEM PUBLIC ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})
  target_link_libraries(${name} PUBLIC ${ARG_LIBS} MLIR LLVM)
  ahm_use_mlir_pch(${name})
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
endfunction()
