import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// Damage in the bucket, and the command that repairs it.
    @Suite struct RepairTests {
        private static func flipped(_ bytes: [UInt8]) -> [UInt8] {
            var bytes = bytes
            bytes[bytes.count / 2] ^= 0x20
            return bytes
        }

        /// A site with a repository of two packs, both of them cached.
        private struct Scene {
            let site: Site
            let repository: String
            let tree: WorkTree
            /// The packs of the first and of the second push.
            let packs: [String]
            let manifest: Bucket.Item

            init(_ store: StoreUnderTest, options: [String] = []) throws {
                site = try Site(store, options: ["--verify-uploads", "off"] + options)
                (repository, tree) = try seeded(site)
                let first = try site.bucket.packs(of: repository)
                try tree.git("checkout", "-q", "-b", "other")
                try tree.commit("second", String(repeating: "content ", count: 100))
                try tree.git("push", "-q", "origin", "other")
                let all = try site.bucket.packs(of: repository)
                packs = first + all.filter { !first.contains($0) }
                manifest = .manifest(try site.bucket.pointer(of: repository))
            }

            /// Damages an object, and returns its original bytes.
            @discardableResult
            func damage(_ item: Bucket.Item) throws -> [UInt8] {
                let original = try #require(try site.bucket.read(item))
                try site.bucket.overwrite(item, with: RepairTests.flipped(original))
                return original
            }

            func repair(_ arguments: String...) throws -> CommandResult {
                try site.command("repair", arguments.isEmpty ? [repository] : arguments)
            }

            /// Expects that a machine without a cache serves the whole repository.
            func expectWhole(sourceLocation: SourceLocation = #_sourceLocation) throws {
                var setup = ServerProcess.Setup(site.bucket)
                setup.options = ["--cache-size", "0", "--verify-uploads", "off"]
                try expectServed(
                    Site(setup), repository, equals: tree, sourceLocation: sourceLocation)
            }
        }

        @Test(arguments: stores)
        func goodRepositoryIsReportedAndLeftAlone(store: StoreUnderTest) throws {
            let scene = try Scene(store)
            let listing = try scene.site.bucket.listing()
            let result = try scene.repair().checked()
            #expect(result.text == "'\(scene.repository)': 5 objects checked, all good.\n")
            #expect(result.errors == "")
            #expect(try scene.site.bucket.listing() == listing)
        }

        @Test(arguments: stores)
        func damageIsRepairedFromTheCache(store: StoreUnderTest) throws {
            let scene = try Scene(store)
            let bucket = scene.site.bucket
            let state = scene.site.instance.stateDirectory
            let manifest = try scene.damage(scene.manifest)
            let flipped = try scene.damage(.pack(scene.packs[0]))
            let removed = try bucket.read(.pack(scene.packs[1]))
            try bucket.delete(.pack(scene.packs[1]))
            let index = try bucket.read(.index(scene.packs[0]))
            try bucket.delete(.index(scene.packs[0]))

            let result = try scene.repair().checked()
            let lines = result.text.split(separator: "\n").map(String.init)
            #expect(lines.count == 5)
            #expect(
                lines.first?.hasPrefix("\(scene.manifest): damaged: its SHA-256 is ") == true)
            #expect(
                lines.contains(
                    "packs/\(scene.packs[1]): missing; rewritten from "
                        + "'\(state)/packs/\(scene.packs[1]).pack'."))
            #expect(
                lines.contains("packs/\(scene.packs[0]).idx: missing; rebuilt from its pack."))
            #expect(lines.last?.hasSuffix("5 objects checked, 4 repaired, 0 not repaired.") == true)
            #expect(try bucket.read(scene.manifest) == manifest)
            #expect(try bucket.read(.pack(scene.packs[0])) == flipped)
            #expect(try bucket.read(.pack(scene.packs[1])) == removed)
            #expect(try bucket.read(.index(scene.packs[0])) == index)
            try scene.expectWhole()
            #expect(try scene.site.instance.workspaces() == [])
        }

        @Test(arguments: stores)
        func damageIsRepairedFromAnotherMachinesStateDirectory(store: StoreUnderTest) throws {
            let scene = try Scene(store)
            let others = scene.site.instance.stateDirectory
            var setup = ServerProcess.Setup(scene.site.bucket)
            setup.options = ["--verify-uploads", "off"]
            let here = try Site(setup)
            try scene.damage(.pack(scene.packs[0]))
            let listing = try scene.site.bucket.listing()

            let lost = try here.command("repair", [scene.repository])
            #expect(lost.ending == .exited(1))
            #expect(lost.text.contains("; not repaired: no good copy was found.\n"))
            #expect(lost.errors.contains("repair \(scene.repository) --from DIRECTORY'"))
            #expect(try scene.site.bucket.listing() == listing)

            let check = try here.command(
                "repair", [scene.repository, "--from", others, "--dry-run"])
            #expect(check.ending == .exited(1))
            #expect(
                check.text.contains(
                    "; can be rewritten from '\(others)/packs/\(scene.packs[0]).pack'.\n"))
            #expect(try scene.site.bucket.listing() == listing)

            let empty = try TemporaryDirectory()
            try here.command(
                "repair", [scene.repository, "--from", empty.path, "--from", others]
            ).checked()
            try scene.expectWhole()
        }

        @Test func packThatWasSentInPartsIsRepaired() throws {
            var setup = ServerProcess.Setup(try StoreUnderTest.seaweed.makeBucket())
            setup.storeItems = "&part-size=5M&multipart-threshold=5M"
            setup.options = ["--verify-uploads", "off"]
            let site = try Site(setup)
            let (repository, tree) = try seeded(site)
            let first = try site.bucket.packs(of: repository)
            var random = SplitMix64(seed: 2)
            let bytes = (0..<(11 << 17)).flatMap { _ in
                withUnsafeBytes(of: random.next()) { Array($0) }
            }
            try tree.git("config", "core.compression", "0")
            try tree.commit("large", bytes: bytes)
            try tree.git("push", "-q", "origin", "main")
            let pack = try #require(
                try site.bucket.packs(of: repository).first { !first.contains($0) })
            let original = try #require(try site.bucket.read(.pack(pack)))
            #expect(original.count > 10 << 20)

            // One command overwrites the whole object, and the other creates it in parts.
            try site.bucket.overwrite(.pack(pack), with: Self.flipped(original))
            let overwriting = try site.command("repair", [repository]).checked()
            #expect(overwriting.text.contains("; rewritten from '"))
            #expect(try site.bucket.read(.pack(pack)) == original)
            try site.bucket.delete(.pack(pack))
            let creating = try site.command("repair", [repository]).checked()
            #expect(creating.text.contains(": missing; rewritten from '"))
            #expect(try site.bucket.read(.pack(pack)) == original)
        }

        @Test func copyOfTheBucketIsASource() throws {
            let scene = try Scene(.file)
            let backup = try TemporaryDirectory()
            let root = scene.site.bucket.url().dropFirst("file://".count)
            try Command("/bin/cp", ["-a", "\(root)/.", backup.path + "/"]).run().checked()
            Files.removeTree(scene.site.instance.stateDirectory + "/packs")
            Files.removeTree(scene.site.instance.stateDirectory + "/manifests")
            try scene.damage(.pack(scene.packs[1]))
            try scene.damage(scene.manifest)
            #expect(try scene.repair().ending == .exited(1))
            try scene.repair(scene.repository, "--from", backup.path).checked()
            try scene.expectWhole()
        }

        @Test func unrepairableDamageIsReportedWithARemedy() throws {
            let scene = try Scene(.file, options: ["--cache-size", "0"])
            let parent = try #require(
                try scene.site.command("show", [scene.repository]).checked().text
                    .firstMatch(of: /parent +([0-9a-f]{64})/))
            try scene.damage(.pack(scene.packs[1]))
            let result = try scene.repair()
            #expect(result.ending == .exited(1))
            #expect(
                result.errors.contains(
                    "Refs that need objects which are in no good pack: "
                        + "refs/heads/other.\n"))
            #expect(result.errors.contains("git-s3-backend import CLONE \(scene.repository)'"))
            #expect(
                result.errors.contains(
                    "restore --manifest \(parent.output.1) \(scene.repository)'"))

            let removed = "can be pushed again: packs/\(scene.packs[1]).\n"
            #expect(result.errors.contains(removed))

            // As the message advises: restore the earlier state, and push again.
            try scene.site.bucket.delete(.pack(scene.packs[1]))
            try scene.site.command("delete", [scene.repository, "--yes"]).checked()
            try scene.site.command(
                "restore", [scene.repository, "--manifest", String(parent.output.1)]
            ).checked()
            try scene.tree.git("push", "-q", "origin", "main", "other")
            try scene.repair().checked()
            try scene.expectWhole()
        }

        @Test func everyRepositoryIsCheckedWithAll() throws {
            let scene = try Scene(.file)
            let (second, _) = try seeded(scene.site)
            let (deleted, _) = try seeded(scene.site)
            try scene.site.command("delete", [deleted, "--yes"]).checked()
            // All seeded repositories share their first pack.
            try scene.damage(.pack(scene.packs[1]))
            Files.removeTree(scene.site.instance.stateDirectory + "/packs")
            let result = try scene.repair("--all")
            #expect(result.ending == .exited(1))
            #expect(result.text.contains("'\(second)': 3 objects checked, all good.\n"))
            #expect(result.text.hasSuffix("Repositories: 1 good, 1 not good.\n"))

            let refused = try scene.repair(deleted)
            #expect(refused.ending == .exited(1))
            #expect(refused.errors.contains("'\(deleted)' is deleted."))
        }

        @Test func commandLineThatCannotBeUnderstoodIs64() throws {
            let place = try CommandPlace()
            for arguments in [["repair"], ["repair", "a/b", "--all"]] {
                let result = try place.run(arguments)
                #expect(result.ending == .exited(64))
                #expect(result.errors.contains("Specify one repository, OWNER/REPO, or --all."))
            }
            let nowhere = try place.run(["repair", "a/b", "--from", "/nonexistent"])
            #expect(nowhere.ending == .exited(64))
            #expect(
                nowhere.errors.contains(
                    "Invalid value '/nonexistent' for --from: expected an existing directory."))
            let socket = "unix:\(place.directory.path)/socket"
            for (options, environment, source) in [
                (["--verify-uploads", "some"], [:], "--verify-uploads"),
                (
                    [], ["GIT_S3_BACKEND_VERIFY_UPLOADS": "some"],
                    "GIT_S3_BACKEND_VERIFY_UPLOADS"
                ),
            ] {
                let result = try place.run(["serve", "--listen", socket] + options, environment)
                #expect(result.ending == .exited(64))
                #expect(
                    result.errors.contains(
                        "Invalid value 'some' for \(source): expected one of on, off, auto."))
            }
        }
    }
}
