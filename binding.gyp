{
  # The addon with every CPU variant: one static library for each instruction set over the same sources, linked into one
  # .node file. CMakeLists.txt builds the same targets. In the npm package this file travels as native/binding.gyp.
  "variables": {
    "openssl_fips": "",
    # NAPIER_VARIANTS="avx512" builds that variant alone, for quick rounds while a kernel is written.
    "isas": "<!(node -p \"process.env.NAPIER_VARIANTS || 'scalar avx2 avx512 neon'\")",
    "cpu_sources": ["<!@(node -p \"require('fs').readdirSync('native/cpu').filter(f => f.endsWith('.cc')).map(f => 'native/cpu/' + f).join(' ')\")"],
    "cflags_all": ["-std=c++20", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi", "-Wno-restrict", "-Wno-maybe-uninitialized"]
  },
  "target_defaults": {
    "cflags!": ["-O2", "-fno-exceptions"],
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++14", "-std=gnu++20", "-O2"],
    "cflags_cc": ["<@(cflags_all)"],
    "xcode_settings": {
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES", "GCC_SYMBOLS_PRIVATE_EXTERN": "YES", "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "GCC_OPTIMIZATION_LEVEL": "3", "MACOSX_DEPLOYMENT_TARGET": "11.0",
      "OTHER_CPLUSPLUSFLAGS": ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
    },
    # MSVC has no vector extensions: clang-cl compiles.
    "msbuild_toolset": "ClangCL",
    "msvs_settings": { "VCCLCompilerTool": {
      "ExceptionHandling": 1, "RuntimeTypeInfo": "true", "Optimization": 2,
      "AdditionalOptions": ["/std:c++20", "/clang:-ffp-contract=off", "/clang:-fno-math-errno", "/clang:-fno-trapping-math", "-Wno-psabi"]
    } }
  },
  "targets": [
    {
      "target_name": "cpu_scalar", "type": "static_library", "sources": ["<@(cpu_sources)"],
      "defines": ["ISA=scalar"]
    },
    {
      "target_name": "napier",
      "sources": [
        "native/operand.cc", "native/buffer.cc", "native/parallel.cc", "native/stream.cc", "native/cpu.cc",
        "native/call.cc", "native/capture.cc", "native/chains.cc", "native/elementwise.cc", "native/plan.cc", "native/watch.cc",
        "native/node/env.cc", "native/node/capturing.cc", "native/node/watching.cc", "native/node/addon.cc"
      ],
      "defines": ["NAPI_VERSION=8"],
      "ldflags": ["-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL"],
      "conditions": [
        ["'scalar' in isas", { "dependencies": ["cpu_scalar"] }, { "defines": ["NO_SCALAR"] }],
        ["'avx2' not in isas", { "defines": ["NO_AVX2"] }],
        ["'avx512' not in isas", { "defines": ["NO_AVX512"] }],
        ["target_arch=='x64' and 'avx2' in isas", { "dependencies": ["cpu_avx2"] }],
        ["target_arch=='x64' and 'avx512' in isas", { "dependencies": ["cpu_avx512"] }],
        ["target_arch=='arm64'", { "dependencies": ["cpu_neon"] }]
      ]
    }
  ],
  "conditions": [
    ["target_arch=='x64'", {
      "targets": [
        {
          "target_name": "cpu_avx2", "type": "static_library", "sources": ["<@(cpu_sources)"],
          "defines": ["ISA=avx2"], "cflags": ["-mavx2", "-mfma"],
          "xcode_settings": { "OTHER_CFLAGS": ["-mavx2", "-mfma"] },
          "msvs_settings": { "VCCLCompilerTool": { "AdditionalOptions": ["-mavx2", "-mfma"] } }
        },
        {
          "target_name": "cpu_avx512", "type": "static_library", "sources": ["<@(cpu_sources)"],
          "defines": ["ISA=avx512"], "cflags": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"],
          "xcode_settings": { "OTHER_CFLAGS": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"] },
          "msvs_settings": { "VCCLCompilerTool": { "AdditionalOptions": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"] } }
        }
      ]
    }],
    ["target_arch=='arm64'", {
      "targets": [
        { "target_name": "cpu_neon", "type": "static_library", "sources": ["<@(cpu_sources)"], "defines": ["ISA=neon"] }
      ]
    }]
  ]
}
