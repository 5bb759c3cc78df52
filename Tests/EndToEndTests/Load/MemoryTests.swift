import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct MemoryTests {
        /// Peak memory, in bytes.
        private static let bound = 100_000_000

        @Test(.timeLimit(.minutes(10)), arguments: stores)
        func aPushOfMoreThanAGibibyteAndItsCloneTakeLittleMemory(store: StoreUnderTest) throws {
            let site = try Site(store)
            let repository = try site.create()
            let tree = try WorkTree.make(remote: site.url(repository))
            try fill(tree, files: 11, mebibytes: 100)
            let push = try tree.client.run(
                ["push", "-q", "origin", "main"], in: tree.path, limit: .seconds(400))
            #expect(push.succeeded, "\(push)")
            let afterPush = try site.instance.peakMemory()
            #expect(afterPush < Self.bound, "\(afterPush >> 20) MiB after the push")

            // It is enough to compare the commit's id: a clone checks each object against its own.
            let directory = try TemporaryDirectory()
            let clone = try tree.client.run(
                ["clone", "-q", "--bare", site.anonymousURL(repository), directory.path + "/copy"],
                limit: .seconds(400))
            #expect(clone.succeeded, "\(clone)")
            let tip = try tree.client.git("rev-parse", "main", in: directory.path + "/copy")
            #expect(try tip == tree.git("rev-parse", "main"))
            let size = try tree.client.git(
                "cat-file", "-s", "main:file-11", in: directory.path + "/copy")
            #expect(size == "\(100 << 20)")

            let afterClone = try site.instance.peakMemory()
            #expect(afterClone < Self.bound, "\(afterClone >> 20) MiB after the clone")
            #expect(try site.instance.workspaces() == [])
            try site.instance.stop()
        }

        /// Commits files that cannot be compressed, with a git that does not try.
        private func fill(_ tree: WorkTree, files: Int, mebibytes: Int) throws {
            for (name, value) in [
                ("core.compression", "0"), ("core.bigFileThreshold", "1m"), ("pack.window", "0"),
                ("pack.threads", "1"),
            ] { try tree.git("config", name, value) }
            let dd = try Programs.find("dd", remedy: "apt install coreutils")
            for number in 1...files {
                try Command(
                    dd,
                    [
                        "if=/dev/urandom", "of=\(tree.path)/file-\(number)", "bs=1M",
                        "count=\(mebibytes)", "status=none",
                    ]
                ).run().checked()
            }
            try tree.git("add", ".")
            try tree.git("commit", "-q", "-m", "large")
            for number in 1...files { Files.removeTree("\(tree.path)/file-\(number)") }
        }
    }
}
