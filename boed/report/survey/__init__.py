"""The human survey of Dupont & Suresha 2019: does the likelier completion look the likelier?"""
