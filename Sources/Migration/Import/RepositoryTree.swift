import Glibc
package import ObjectStore
import Posix

/// The repositories in a directory tree, `OWNER/REPO` or `OWNER/REPO.git` below a directory.
package struct RepositoryTree {
    /// Paths, sorted, with the names that result from them.
    package private(set) var entries: [(path: String, name: Result<RepositoryName, BadName>)] = []
    /// Paths of files and directories that are not repositories.
    package private(set) var skipped: [String] = []

    /// Why no repository can be published under the name that results from its path.
    package struct BadName: Error, CustomStringConvertible {
        package let description: String
    }

    package init(at root: String) throws {
        var paths: [RepositoryName: String] = [:]
        for owner in try Files.names(in: root).sorted() {
            let ownerPath = "\(root)/\(owner)"
            let names: [String]
            do {
                names = try Files.names(in: ownerPath)
            } catch  where error.code == ENOTDIR {
                skipped.append(ownerPath)
                continue
            } catch {
                // Its contents are unknown: the import must not look complete.
                let reason = BadName(description: "'\(ownerPath)' cannot be read: \(error).")
                entries.append((ownerPath, .failure(reason)))
                continue
            }
            // A repository at the first level has no owner.
            guard !ImportSource.isRepository(ownerPath) else {
                skipped.append(ownerPath)
                continue
            }
            for name in names.sorted() {
                let path = "\(ownerPath)/\(name)"
                guard ImportSource.isRepository(path) else {
                    skipped.append(path)
                    continue
                }
                entries.append((path, Self.name(owner, name, path, &paths)))
            }
        }
    }

    private static func name(
        _ owner: String, _ name: String, _ path: String, _ paths: inout [RepositoryName: String]
    ) -> Result<RepositoryName, BadName> {
        let bare = name.hasSuffix(".git") ? String(name.dropLast(4)) : name
        guard let repository = RepositoryName("\(owner)/\(bare)") else {
            return .failure(
                BadName(
                    description: "'\(path)' does not correspond to a valid name. Import it "
                        + "separately, with another name. \(RepositoryName.rule)"))
        }
        if let other = paths.updateValue(path, forKey: repository) {
            paths[repository] = other
            return .failure(
                BadName(
                    description: "'\(path)' would be published as '\(repository)', as would "
                        + "'\(other)'. Import it separately, with another name."))
        }
        return .success(repository)
    }
}
