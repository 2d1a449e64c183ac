/**
 * The systems that binaries are made for: `target` in the words of zig, `processor` in those of CMake, `arch` and `libc` in those of Node and of the files in prebuilds/.
 * glibc 2.28 is what Node 20 itself needs.
 */
export const releases = {
  'linux-x64': { arch: 'x64', libc: 'glibc', processor: 'x86_64', target: 'x86_64-linux-gnu.2.28' },
  'linux-x64-musl': { arch: 'x64', libc: 'musl', processor: 'x86_64', target: 'x86_64-linux-musl' },
  'linux-arm64': { arch: 'arm64', libc: 'glibc', processor: 'aarch64', target: 'aarch64-linux-gnu.2.28' },
}

/** The name of the release for an architecture and libc, or undefined. */
export function releaseFor(arch, libc) {
  return Object.keys(releases).find(name => releases[name].arch === arch && releases[name].libc === libc)
}

/** Where prebuildify puts the binary of a release, below the folder of the package. */
export const prebuildFile = ({ arch, libc }) => `prebuilds/linux-${arch}/warpweft.${libc}.node`

/** The folder in which a release is compiled, and CMake's in it; both below the repository's. */
export const releaseFolder = name => `build/prebuilds/${name}`
export const releaseBuild = name => `${releaseFolder(name)}/build`
