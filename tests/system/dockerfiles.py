"""The Dockerfiles that wherry and buildah build from the same context (test_build_compared.py).

A Dockerfile; or one for each of the two where buildah's version does not know the notation. BASE is busybox.
"""

import gzip
import io
import tarfile

from test_build import hard_link, link, pack

LONG = 'n' * 90

FILES = {'file': 'content\n', 'dir/one': '1', 'dir/two': '2', 'dir/sub/three': '3', 'dir/link': link('one'),
         'a.txt': 'a', 'b.txt': 'b', 'dir/hard': hard_link('dir/one'), 'with space': 'spaced', 'ünicode': 'u',
         'empty': '', f'{LONG}/{LONG}': 'long', 'logs/a.log': 'log', 'logs/keep.log': 'kept', 'logs/deep/b.log': 'log',
         'logs/deep/c.txt': 'text', '.hidden': 'hidden', 'dangling': link('/no/where'), 'secret.key': 'key'}
ARCHIVE = pack({'in/file': 'inside', 'in/link': link('file'), 'in/hard': hard_link('in/file')})
FILES['archive.tar'] = ARCHIVE
FILES['archive.tgz'] = gzip.compress(ARCHIVE)

# VFS_CAP_REVISION_2, effective: CAP_NET_BIND_SERVICE
CAPABILITY = bytes.fromhex('0100000200040000000000000000000000000000')


def _with_metadata():
    """An archive with what tar can say of a file: owner, mode, capabilities, extended attributes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT) as archive:
        for name, kind, mode, uid in (('meta', tarfile.DIRTYPE, 0o1750, 20), ('meta/bin', tarfile.REGTYPE, 0o4755, 21),
                                      ('meta/server', tarfile.REGTYPE, 0o755, 0), ('meta/pipe', tarfile.FIFOTYPE, 0o600, 0)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.uid, entry.gid = kind, mode, uid, uid
            if name == 'meta/server':
                entry.pax_headers = {'SCHILY.xattr.security.capability': CAPABILITY.decode('utf-8', 'surrogateescape')}
            archive.addfile(entry, io.BytesIO())
    return out.getvalue()


FILES['metadata.tar'] = _with_metadata()

DOCKERFILES = {
    'configuration': '''FROM BASE
ENV A=1 B="two words" C='$A'
ENV D=$A-${B:-none} E=${NONE:+x}y
ENV PATH=$PATH:/more
LABEL l=1 "quoted name"="a b" m=$A
EXPOSE 80 90/udp
VOLUME ["/v1", "/v2"]
STOPSIGNAL SIGQUIT
USER 1:2
WORKDIR /w
COPY file ./
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["echo hi"]
''',
    'shell forms': 'FROM BASE\nENTRYPOINT echo $A\nCMD echo hi\n',
    'entrypoint resets cmd': 'FROM BASE\nCMD ["a"]\nENTRYPOINT ["b"]\n',
    'arguments': 'ARG G=g\nFROM BASE\nARG G\nARG X=x$G\nARG Y\nRUN echo "$G $X $Y" > /out\nENV X=env\nRUN echo $X >> /out\n',
    'run': '''FROM BASE
RUN mkdir -p /a/b && echo x > /a/b/c && ln /a/b/c /a/hard && ln -s b/c /a/soft
RUN rm /a/b/c && echo y > /a/b/d && chmod 4711 /a/b/d && chown 3:4 /a/b/d
RUN mkdir /old && echo x > /old/x
RUN rm -rf /old && mkdir /old && echo z > /old/z
RUN mv /a /moved
''',
    'copy files': 'FROM BASE\nCOPY file /one\nCOPY file a.txt /dir/\nCOPY *.txt /txt/\nWORKDIR /w\nCOPY file .\nCOPY file ./b/\n',
    'copy directories': 'FROM BASE\nRUN mkdir -p /to/sub && echo old > /to/one\nCOPY dir /to\nCOPY dir/sub /new/place\nCOPY dir/ /dir/\n',
    'copy with metadata': 'FROM BASE\nCOPY --chown=5:6 dir /d\nCOPY --chmod=600 file /f\nCOPY --chown=7 a.txt /g\n',
    'copy over links': 'FROM BASE\nRUN mkdir /real && ln -s /real /way\nCOPY file /way/file\nCOPY dir /way/dir\n',
    'add': 'FROM BASE\nADD archive.tar /unpacked\nADD file archive.tar /both/\n',
    'stages': '''FROM BASE AS one
RUN mkdir /made && echo 1 > /made/file && chown 8:9 /made/file
FROM one AS two
RUN echo 2 >> /made/file
FROM BASE
COPY --from=two /made /made
COPY --from=0 /made/file /first
''',
    'workdir': 'FROM BASE\nWORKDIR /a\nWORKDIR b/c\nENV D=d\nWORKDIR $D\nRUN pwd > out\n',
    'user': 'FROM BASE\nRUN mkdir /home2 && chown 10:11 /home2\nUSER 10:11\nWORKDIR /home2\nRUN id -u > out\nCOPY file /home2/\n',
    'comments': '# escape=`\nFROM BASE\n# a comment\nRUN echo one `\n# inside\n  two > /out\n',
    # Variables
    'operators': '''FROM BASE
ENV A=a
ENV B=${A:-x} C=${NONE:-default} D=${A:+set} E=${NONE:+set}. F=${A}b G="$A $B" H=\\$A
RUN echo "$B $C $D $E $F $G $H" > /out
''',
    'variables in every place': '''FROM BASE
ENV D=/d U=1 P=80 S=SIGUSR1 F=file
WORKDIR $D
USER $U
EXPOSE $P
STOPSIGNAL $S
VOLUME $D/volume
LABEL where=$D "of $U"="${F}"
USER 0
COPY $F ${D}/copied
ADD $F $D/added
CMD echo $D
''',
    'quotes': '''FROM BASE
ENV A="a b" B='c d' C=e\\ f D="q\\"q" E='$A' F="$A"
ENV G=  H="" I=a=b
RUN env | grep '^[A-I]=' | sort > /out
''',
    'old form of ENV': 'FROM BASE\nENV A b  c\nENV D $A "x"\nRUN echo "$A|$D" > /out\n',
    'arguments before FROM': '''ARG IMAGE=BASE
ARG HIDDEN=hidden
FROM ${IMAGE}
RUN echo "[$HIDDEN]" > /out
ARG HIDDEN
RUN echo "[$HIDDEN]" >> /out
''',
    'arguments of stages': '''FROM BASE AS one
ARG X=one
RUN echo "$X" > /out
FROM BASE
RUN echo "[$X]" > /before
ARG X=two
RUN echo "[$X]" > /after
COPY --from=one /out /one
''',
    'argument and environment': 'FROM BASE\nARG Y=default\nENV Y=env\nRUN echo $Y > /out\nARG Y=other\nRUN echo $Y >> /out\n',
    'argument that becomes environment': 'FROM BASE\nARG Y\nENV Z=${Y:-none}\nLABEL y=$Y\nRUN echo $Z > /out\n',
    # Instructions
    'labels': 'FROM BASE\nLABEL a=1 b="two\\\n three"\nLABEL a=2\nLABEL c d e\nLABEL "x.y"=z\n',
    'onbuild': 'FROM BASE\nONBUILD COPY file /later\nONBUILD RUN echo x > /x\nONBUILD ENV A=b\nCMD ["x"]\n',
    'here-documents': ('''FROM BASE
RUN <<END
echo one > /out
echo two >> /out
END
COPY <<first <<"second" /docs/
text
first
$raw
second
''', '''FROM BASE
RUN echo one > /out; echo two >> /out
RUN mkdir /docs && echo text > /docs/first && echo '$raw' > /docs/second
'''),
    'shell': 'FROM BASE\nSHELL ["/bin/sh", "-ec"]\nRUN echo $0 > /out\nCMD echo x\nENTRYPOINT echo y\nHEALTHCHECK CMD true\n',
    'exec forms': '''FROM BASE
RUN ["/bin/sh", "-c", "echo a > /a"]
RUN [ "touch", "/b c" ]
ENTRYPOINT ["/bin/echo", "a b"]
CMD ["c", "d"]
''',
    'health check': 'FROM BASE\nHEALTHCHECK --interval=5s --timeout=3s --start-period=1s --retries=2 CMD test -f /x || exit 1\n',
    'no health check': 'FROM BASE\nHEALTHCHECK CMD ["true"]\nHEALTHCHECK NONE\n',
    'ports': 'FROM BASE\nEXPOSE 80 443/tcp 53/udp\nEXPOSE 8000-8002\nEXPOSE 80\n',
    'maintainer and signal': 'FROM BASE\nMAINTAINER some one\nSTOPSIGNAL 9\n',
    'volume': 'FROM BASE\nRUN mkdir /v && echo kept > /v/before\nVOLUME /v /w\nCOPY file /w/file\n',
    'continued lines': '''FROM BASE
RUN echo a && \\
    # inside
    echo b \\

    > /out
  RUN   echo indented   > /indented
run echo lower > /lower
''',
    'user by name': '''FROM BASE
USER tester
RUN id -u > /home/tester/uid && id -g >> /home/tester/uid && echo $HOME > /home/tester/home
COPY file /home/tester/
USER tester:extra
RUN id -g > /home/tester/gid
WORKDIR /home/tester/new
''',
    # Copies
    'wildcards': 'FROM BASE\nCOPY ?.txt /one/\nCOPY [a].txt /two/\nCOPY d*/t* /three/\nCOPY dir/*/ /four/\n',
    'names': f'FROM BASE\nCOPY ["with space", "/to here/"]\nCOPY ünicode {"n" * 90} .hidden empty /names/\n',
    'copy by name of the owner': 'FROM BASE\nCOPY --chown=tester:extra dir /d\nCOPY --chown=tester file /f\n',
    'copy between stages': '''FROM BASE AS made
RUN mkdir -p /out/sub && echo x > /out/sub/x && chmod 600 /out/sub/x && ln -s sub/x /out/link && chown -R 5:6 /out
FROM BASE
COPY --from=made --chown=7:8 /out /owned
COPY --from=made /out/. /dot
COPY --from=made /out/sub/* /files/
COPY --from=made --chmod=755 /out/sub/x /mode
''',
    'copy from an image': 'FROM scratch\nCOPY --from=BASE /etc/passwd /etc/group /copied/\n',
    'copy links': 'FROM BASE\nCOPY dir/link /followed\nCOPY dir /tree\nRUN ls /tree > /out\n',
    'from scratch': 'FROM scratch\nCOPY file /\nCOPY dir /dir\nCMD ["/file"]\n',
    'ignored files': 'FROM BASE\nCOPY . /all\n',
    'compressed archives': 'FROM BASE\nADD archive.tgz /gz\nADD archive.tgz archive.tar /both/\nCOPY archive.tgz /kept/\n',
    'archives over what is there': 'FROM BASE\nRUN mkdir -p /x/in && echo old > /x/in/file && chmod 700 /x/in\nADD archive.tar /x\n',
    'metadata of archives': 'FROM BASE\nADD metadata.tar /\nRUN chown 30 /meta\nADD --chown=40:41 metadata.tar /given/\n',
    'add directories': 'FROM BASE\nADD dir /x/\nADD file a.txt /y/\nADD --chown=3:4 dir/sub /z\n',
    # Layers
    'replaced kinds': '''FROM BASE
RUN mkdir /d && echo 1 > /d/f && ln -s d /l && echo f > /f
RUN rm -r /d && echo file > /d && rm /l && mkdir /l && rm /f && ln -s d /f
RUN rm /d && mkdir -p /d/e
''',
    'links of all kinds': '''FROM BASE
RUN mkdir /a /b && echo x > /a/f && ln /a/f /b/f && ln -s /a/f /b/abs && ln -s ../none /b/none
RUN echo y >> /b/f
RUN rm /a/f && ln /b/f /b/g
''',
    'modes': '''FROM BASE
RUN mkdir -m 1777 /t && mkdir -m 2755 /g && touch /zero && chmod 0 /zero && mkfifo -m 640 /pipe && touch /s && chmod 6711 /s
RUN chmod 755 /t && chown 9:10 /g
''',
}

IGNORE = '''# what stays out
**/*.log
!logs/keep.log
dir/sub
*.t?r
secret.*
ar*/
'''

